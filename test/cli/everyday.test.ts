/** The command line of the compiled binary against its gateway: formats, exit codes, the last sandbox, logs. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, parseAllDocuments } from "yaml";
import { eventually } from "../eventually.ts";
import { GatewayHost, missingForGateway } from "../gateway/host.ts";

const missing = missingForGateway();
if (missing !== undefined) console.log(`skipped: the command line every day: ${missing}`);

const POLICY = `version: 1
network_policies:
  web:
    endpoints: [{ host: a.example, port: 443 }]
    binaries: [{ path: /usr/bin/curl }]
`;
/** A denial with what a hostile program can put into it. */
const KNOCK = 'exec 3<>/dev/tcp/203.0.113.9/9; printf "x"';

describe.skipIf(missing !== undefined)("the command line", () => {
  let host: GatewayHost;
  const cli = (...argv: string[]) => host.cli(...argv);

  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
    writeFileSync(join(host.directory, "policy.yaml"), POLICY);
    for (const name of ["one", "two"]) {
      const { code, err } = await cli(
        "sandbox",
        "create",
        "--name",
        name,
        "--policy",
        join(host.directory, "policy.yaml"),
        "--label",
        `n=${name}`,
      );
      expect([code, err]).toEqual([0, expect.any(String)]);
    }
    await cli("sandbox", "exec", "-n", "one", "--", "/bin/bash", "-c", KNOCK);
    await eventually("the denial in the log", 20_000, async () => (await cli("logs", "one")).out.includes("203.0.113.9") || undefined);
  });
  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
  });

  /** Every command that prints data, with what `-o name` prints for it, if that is known. */
  const PRINTING: readonly (readonly [string, RegExp | undefined])[] = [
    ["sandbox list", /^one\ntwo\n$/],
    ["sandbox get one", /^one\n$/],
    ["sandbox provider list one", /^$/],
    ["sandbox draft one", undefined],
    ["sandbox draft history one", undefined],
    ["policy get one", /^1\n$/],
    ["policy list one", /^1\n$/],
    ["policy diff one --from 1", undefined],
    ["policy templates", undefined],
    ["settings get one", /^.*policy_advisor\n/s],
    ["settings get --global", undefined],
    ["provider list", /^$/],
    ["provider list-profiles", undefined],
    ["gateway list", /^openshell\n$/],
    ["gateway info", /^openshell\n$/],
    ["forward list", /^$/],
    ["status", /^openshell\n$/],
    ["whoami", undefined],
    ["policy-advisor status one", undefined],
  ];
  test.each(PRINTING)("%s: table, json, yaml and name", async (command, names) => {
    const run = async (format: string) => {
      const { code, out, err } = await cli(...command.split(" "), "-o", format);
      expect([command, format, code, err]).toEqual([command, format, 0, ""]);
      return out;
    };
    const [json, yaml] = [await run("json"), await run("yaml")];
    expect(() => JSON.parse(json)).not.toThrow();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
    for (const text of [json, yaml, await run("table")]) expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f]/);
    if (!command.startsWith("policy get")) expect(parse(yaml)).toEqual(JSON.parse(json));
    if (names !== undefined) expect(await run("name")).toMatch(names);
  });

  test("an unknown format, command, flag or value is told with what is meant, and exit code 2", async () => {
    for (const [line, hint] of [
      ["sandbox list -o jsn", "json"],
      ["sandbox lst", "did you mean 'openshell sandbox list'?"],
      ["sandbox list --selectr a=b", "did you mean '--selector'?"],
      ["sandbox creat --name x", "did you mean 'openshell sandbox create'?"],
      ["logs one --level LOUD", "ERROR"],
      ["logs one --since soon", "5m"],
    ] as const) {
      const { code, out, err } = await cli(...line.split(" "));
      expect([line, code, out, err]).toEqual([line, 2, "", expect.stringContaining(hint)]);
    }
  });

  test("exit codes: of the command inside, 1 for what fails, 2 for what is written wrong", async () => {
    expect((await cli("sandbox", "exec", "-n", "one", "--", "/bin/sh", "-c", "exit 42")).code).toBe(42);
    expect((await cli("sandbox", "exec", "-n", "one", "--", "/bin/sh", "-c", "kill -TERM $$")).code).toBe(143);
    expect((await cli("sandbox", "exec", "-n", "one", "--timeout", "1", "--", "/bin/sleep", "60")).code).toBe(124);
    expect((await cli("sandbox", "get", "missing")).code).toBe(1);
    expect((await cli("sandbox", "create", "--name", "Not_A_Name")).code).toBe(2);
  });

  test("errors are a sentence and a next step; --verbose adds the code; never a stack", async () => {
    const { err } = await cli("sandbox", "get", "missing");
    expect(err).toMatch(/^Error: .+\nNext: .+\n$/);
    expect((await cli("sandbox", "get", "missing", "--verbose")).err).toContain("Code: not_found");
  });

  test("the last sandbox used is meant when none is named, and said", async () => {
    await cli("sandbox", "get", "two");
    const { code, out, err } = await cli("sandbox", "get", "-o", "name");
    expect([code, out, err]).toEqual([0, "two\n", "→ Using sandbox 'two' (last used)\n"]);
    await cli("sandbox", "exec", "-n", "one", "--", "/bin/true");
    expect((await cli("policy", "get", "-o", "json")).err).toContain("'one'");
  });

  test("lists: limits, labels and other workspaces", async () => {
    expect((await cli("sandbox", "list", "--limit", "1", "--names")).out).toBe("one\n");
    expect((await cli("sandbox", "list", "--limit", "5", "--offset", "1", "--names")).out).toBe("two\n");
    expect((await cli("sandbox", "list", "-l", "n=two", "-o", "name")).out).toBe("two\n");
    expect((await cli("sandbox", "list", "--all-workspaces")).out).toMatch(/^WORKSPACE +NAME .*\ndefault +one /);
    expect((await cli("sandbox", "list", "--names", "--ids")).code).toBe(2);
  });

  test("policies: what is printed as YAML can be set again; base and full exclude each other", async () => {
    const { out } = await cli("policy", "get", "one", "-o", "yaml");
    expect(out).toBe((await cli("policy", "get", "one", "--base", "-o", "yaml")).out);
    expect(out).toBe((await cli("sandbox", "get", "one", "--policy-only")).out);
    const file = join(host.directory, "again.yaml");
    writeFileSync(file, out.replace("a.example", "b.example"));
    const set = await cli("policy", "set", "one", "--policy", file, "--wait", "-o", "json");
    expect(JSON.parse(set.out)).toMatchObject({ sandbox: "one", version: 2, in_force: true });
    expect((await cli("policy", "get", "one", "--base", "--full")).code).toBe(2);
  });

  test("validate warns of what a gateway would refuse, which then is refused", async () => {
    const file = join(host.directory, "beyond.yaml");
    writeFileSync(file, `version: 1\nfilesystem_policy: { read_only: [/usr, /root/secrets] }\n`);
    const { code, err } = await cli("policy", "validate", file);
    expect([code, err]).toEqual([0, expect.stringContaining("--allow-mount /root/secrets")]);
    const refused = await cli("sandbox", "create", "--name", "beyond", "--policy", file);
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("--allow-mount /root/secrets")]);
  });

  test("flags of published clients: known, and refused with the reason where they ask for what is not there", async () => {
    expect((await cli("status", "--gateway-insecure")).out).toContain("Connected");
    const auto = await cli("sandbox", "create", "--name", "auto", "--approval-mode", "auto");
    expect([auto.code, auto.err]).toEqual([2, expect.stringContaining("nothing is approved without a person")]);
    expect((await cli("sandbox", "get", "auto")).code).toBe(1);
    const kinds = await cli("provider", "list-profiles", "--global", "-o", "name");
    expect([kinds.code, kinds.out]).toEqual([0, (await cli("provider", "list-profiles", "-o", "name")).out]);
    const provider = ["provider", "create", "--name", "flags", "--type", "generic"];
    expect((await cli(...provider, "--credential", "A=b-secret-of-it", "--global-profile")).code).toBe(0);
    expect((await cli("provider", "delete", "flags")).code).toBe(0);
    for (const flag of ["--runtime-credentials", "--from-gcloud-adc"]) {
      const { code, err } = await cli(...provider, flag);
      expect([code, err]).toEqual([1, expect.stringContaining(`${flag} is not available`)]);
    }
  });

  test("policy update: an endpoint with its requests at once, rules that join a preset, and a dry run that says what is not valid", async () => {
    const update = (...flags: string[]) => cli("policy", "update", "two", ...flags);
    const add = ["--add-endpoint", "r.example:443::rest:enforce", "--add-allow", "r.example:443:POST:/x", "--binary", "/usr/bin/curl"];
    expect((await update(...add, "--wait")).code).toBe(0);
    expect((await update("--add-endpoint", "p.example:443:read-only:rest:enforce", "--binary", "/usr/bin/curl", "--wait")).code).toBe(0);
    expect((await update("--add-allow", "p.example:443:PUT:/y", "--wait")).code).toBe(0);
    const { network_policies: rules } = parse((await cli("policy", "get", "two", "-o", "yaml")).out);
    const allowed = (rule: string) =>
      rules[rule].endpoints[0].rules.map(({ allow }: { allow: { method: string; path: string } }) => `${allow.method} ${allow.path}`);
    expect(allowed("r_example_443")).toEqual(["POST /x"]);
    expect(allowed("p_example_443")).toEqual(["GET **", "HEAD **", "OPTIONS **", "PUT /y"]);
    // What the newest revision changed, with no flag at all.
    expect((await cli("policy", "diff", "two")).out).toMatch(/\+ .*PUT/);
    expect((await cli("policy", "diff", "two", "--from", "1", "--to", "1")).code).toBe(2);
    const invalid = await update("--add-allow", "a.example:443:GET:/", "--dry-run");
    expect([invalid.code, invalid.err]).toEqual([2, expect.stringContaining("would not be valid")]);
  });

  test("a change of a setting is not told as a policy that was loaded", async () => {
    for (const length of ["2h", "3h"]) await cli("settings", "set", "two", "--key", "draft_ttl", "--value", length);
    await cli("policy", "update", "two", "--add-endpoint", "last.example:443", "--binary", "/usr/bin/curl", "--wait");
    const told = (await cli("logs", "two", "--source", "gateway", "-n", "2000")).out.match(/policy version \d+ loaded/g) ?? [];
    expect(told.length).toBeGreaterThan(1);
    expect(new Set(told).size).toBe(told.length);
  });

  describe("logs", () => {
    const lines = async (...flags: string[]) => {
      const { code, out, err } = await cli("logs", "one", ...flags);
      expect([code, err]).toEqual([0, ""]);
      return out.split("\n").filter((line) => line !== "");
    };
    test("--source, --level and -n", async () => {
      expect((await lines("--source", "gateway")).every((line) => line.includes("[gateway]"))).toBe(true);
      const inside = await lines("--source", "sandbox");
      expect(inside.every((line) => line.includes("[sandbox]"))).toBe(true);
      expect(inside.some((line) => line.includes("DENIED"))).toBe(true);
      expect((await lines("--level", "ERROR")).length).toBe(0);
      expect(await lines("-n", "1")).toHaveLength(1);
    });
    test("--since: nothing from before", async () => {
      expect((await lines("--since", "1h")).length).toBeGreaterThan(0);
      const times = (await lines("--since", "1s")).map((line) => Number(/^\[(\d+\.\d+)\]/.exec(line)?.[1]));
      for (const time of times) expect(time).toBeGreaterThan(Date.now() / 1000 - 30);
    });
    test("-o json: one object per line, with the denial as a field", async () => {
      const objects = (await lines("-o", "json")).map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(objects.length).toBeGreaterThan(1);
      expect(objects).toContainEqual(expect.objectContaining({ source: "sandbox", level: "OCSF", fields: { action: "denied" } }));
    });
    test("-o yaml: one document per line, saying what JSON says", async () => {
      const flags = ["--source", "sandbox", "-n", "5"];
      const documents = parseAllDocuments((await lines(...flags, "-o", "yaml")).join("\n"));
      expect(documents.map((document) => document.toJS() as unknown)).toEqual(
        (await lines(...flags, "-o", "json")).map((line) => JSON.parse(line) as unknown),
      );
    });
    test("--tail: what was, and what comes, until it is ended", async () => {
      const child = host.spawn("logs", "one", "--tail", "-n", "1", "--source", "sandbox");
      await cli("sandbox", "exec", "-n", "one", "--", "/bin/bash", "-c", KNOCK.replace("/9;", "/19;"));
      const decoder = new TextDecoder();
      let text = "";
      for await (const chunk of child.stdout) {
        text += decoder.decode(chunk, { stream: true });
        if (text.includes("203.0.113.9:19")) break;
      }
      child.kill("SIGINT");
      expect(await child.exited).not.toBe(1);
      expect(text).toContain("203.0.113.9:19");
    });
    test("threat-32 nothing that a terminal acts on, in any format", async () => {
      await cli(
        "sandbox",
        "exec",
        "-n",
        "one",
        "--",
        "/bin/bash",
        "-c",
        'exec -a "$(printf "\\033]52;c;aGk=\\007")" /bin/bash -c "exec 3<>/dev/tcp/203.0.113.9/29"',
      );
      await eventually("the denial", 20_000, async () => (await cli("logs", "one")).out.includes("203.0.113.9:29") || undefined);
      for (const format of ["table", "json", "yaml"]) {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
        expect((await cli("logs", "one", "-o", format)).out).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
      }
    });
  });
});
