/** Models through the gateway: a route is set, verified, pushed to a running sandbox, changed and removed; keys stay where they belong. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { installed, missingFor } from "../clients/inside.ts";
import { Installation } from "../e2e/installation.ts";
import { eventually } from "../eventually.ts";
import { openTestInternet, type TestInternet } from "../internet/open.ts";
import { ModelServer } from "./models.ts";

const curl = installed("curl", "/usr/bin/curl");
const missing = missingFor("models through the gateway", curl);

const KEY = "sk-the-gateways-own-key-0123456789";
const ROTATED = "sk-the-next-key-abcdefghijklmnopq";
const POLICY = "version: 1\nnetwork_policies: {}\n";
const CHANGED = `version: 1
network_policies:
  other: { endpoints: [{ host: api.example.com, port: 443 }], binaries: [{ path: /usr/bin/false }] }
`;
/** Pushed changes are there at once; the poll that finds lost ones comes every 10 s. */
const WITHIN_MS = 30_000;

describe.skipIf(missing !== undefined)("models through the gateway", () => {
  let net: TestInternet;
  let shell: Installation;
  let model: ModelServer;

  beforeAll(async () => {
    net = await openTestInternet();
    shell = new Installation(net);
    await shell.startGateway();
    model = await ModelServer.start(net);
    await shell.create("work", POLICY);
  });
  afterAll(async () => {
    await shell?.[Symbol.asyncDispose]();
    await model?.[Symbol.asyncDispose]();
    await net?.[Symbol.asyncDispose]();
  });

  async function ask(path: string, ...words: string[]): Promise<{ status: string; body: string }> {
    const { stdout, stderr } = await shell.exec("work", "curl", "-sS", "-w", "\n%{http_code}", ...words, `https://inference.local${path}`);
    const lines = stdout.split("\n");
    return { status: lines.at(-1) ?? "", body: lines.slice(0, -1).join("\n") + stderr };
  }

  test("without a route: 503 with what to do", async () => {
    const { status, body } = await ask("/v1/models");
    expect({ status, body }).toEqual({
      status: "503",
      body: `{"error":"cluster inference is not configured","hint":"run: openshell inference set --help"}\n`,
    });
    const { exitCode, stderr } = await shell.cli(["inference", "get"]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("is not set");
  });

  test("a route needs a provider that works, or --no-verify", async () => {
    const missingProvider = await shell.cli(["inference", "set", "--provider", "local", "--model", "real-model"]);
    expect(missingProvider.stderr).toContain("provider 'local' not found");
    await shell.must(
      "provider",
      "create",
      "--name",
      "local",
      "--type",
      "openai",
      "--credential",
      `OPENAI_API_KEY=${KEY}`,
      "--config",
      `OPENAI_BASE_URL=${model.url}`,
    );
    const wrong = await shell.cli(["inference", "set", "--provider", "local", "--model", "no-such-model"]);
    expect(wrong.exitCode).toBe(1);
    expect(wrong.stderr).toContain("no model no-such-model");
    expect(wrong.stderr).toContain("--no-verify");
    expect(wrong.stderr).not.toContain(KEY);
    await shell.must("provider", "create", "--name", "tracker", "--type", "github", "--credential", "GITHUB_TOKEN=ghp_0123456789");
    const unfit = await shell.cli(["inference", "set", "--provider", "tracker", "--model", "m"]);
    expect(unfit.stderr).toContain("a route needs one of openai");
    const both = await shell.cli(["inference", "set", "--provider", "local", "--model", "m", "--timeout", "2h"]);
    expect(both.exitCode).not.toBe(0);
    const set = await shell.json<Record<string, unknown>>("inference", "set", "--provider", "local", "--model", "real-model");
    expect(set).toMatchObject({
      route: "inference.local",
      provider: "local",
      model: "real-model",
      version: 1,
      timeout_seconds: 60,
      validation_performed: true,
    });
  });

  test("case-85 a running sandbox has it at once, and so has the next program's environment", async () => {
    const answer = await eventually("an answer of the model", WITHIN_MS, async () => {
      const { status, body } = await ask("/v1/chat/completions", "-d", '{"model":"mine","messages":[]}');
      return status === "200" ? body : undefined;
    });
    expect(JSON.parse(answer)).toMatchObject({ model: "real-model", choices: [{ message: { content: "hello from the model" } }] });
    expect(model.seen.at(-1)).toMatchObject({ authorization: `Bearer ${KEY}` });
    const { stdout } = await shell.exec("work", "env");
    expect(stdout).toContain("OPENAI_BASE_URL=https://inference.local/v1\n");
    expect(stdout).toContain("OPENAI_API_KEY=openshell-inference-local\n");
    expect(stdout).not.toContain(KEY);
  });

  test("an answer that streams goes on through a new policy", async () => {
    const before = model.seen.length;
    const words = ["-sS", "-N", "-d", '{"stream":true,"messages":[]}', "https://inference.local/v1/chat/completions"];
    const streaming = shell.exec("work", "curl", ...words);
    await eventually("the question", WITHIN_MS, async () => model.seen.length > before || undefined);
    await shell.must("policy", "set", "work", "--policy", shell.policy("changed", CHANGED), "--wait");
    // The model goes on when it hears this.
    await ask("/v1/models");
    expect((await streaming).stdout).toContain("second");
  });

  test("a rotated key is used from the next request on; the provider cannot be deleted under the route", async () => {
    await shell.must("provider", "update", "local", "--credential", `OPENAI_API_KEY=${ROTATED}`);
    await eventually("the new key", WITHIN_MS, async () => {
      await ask("/v1/models");
      return model.seen.at(-1)?.authorization === `Bearer ${ROTATED}` || undefined;
    });
    const { stderr } = await shell.cli(["provider", "delete", "local"]);
    expect(stderr).toContain("used by the inference route inference.local");
  });

  test("decision-28 an attached provider wins, and sandbox get says so", async () => {
    const own = await shell.json<{ inference: unknown }>("sandbox", "get", "work");
    expect(own.inference).toEqual({
      provider: "local",
      model: "real-model",
      variables: ["OPENAI_BASE_URL", "OPENAI_API_KEY"],
      overridden: {},
    });
    await shell.must("sandbox", "provider", "attach", "work", "local");
    await eventually("the provider's variable", WITHIN_MS, async () => {
      const { stdout } = await shell.exec("work", "env");
      return (stdout.includes("OPENAI_API_KEY=openshell:resolve") && !stdout.includes("OPENAI_BASE_URL")) || undefined;
    });
    expect(await shell.must("sandbox", "get", "work")).toContain("OPENAI_BASE_URL, OPENAI_API_KEY: the attached provider local wins");
    await shell.must("sandbox", "provider", "detach", "work", "local");
  });

  test("settings limit what a sandbox may ask", async () => {
    await shell.must("settings", "set", "work", "--key", "inference_requests_per_minute", "--value", "1");
    await eventually("a refusal", WITHIN_MS, async () => {
      const { status, body } = await ask("/v1/models");
      return (status === "429" && body.includes("budget")) || undefined;
    });
    await shell.must("settings", "delete", "work", "--key", "inference_requests_per_minute");
  });

  test("the system route is OpenShell's own; earlier names of the commands work", async () => {
    await shell.must("cluster", "inference", "set", "--system", "--provider", "local", "--model", "real-model-small", "--no-verify");
    expect(await shell.json<object>("inference", "get", "--system")).toMatchObject({ route: "sandbox-system", model: "real-model-small" });
    await eventually("a model for programs", WITHIN_MS, async () => {
      const { status, body } = await ask("/v1/chat/completions", "-d", "{}");
      return (status === "200" && body.includes('"real-model"')) || undefined;
    });
    const changed = await shell.json<object>("inference", "update", "--model", "real-model-2", "--timeout", "5m", "--no-verify");
    expect(changed).toMatchObject({ model: "real-model-2", version: 2, timeout_seconds: 300, validation_performed: false });
  });

  test("keys are in no answer, no log and no file but the sealed one", async () => {
    for (const words of [
      ["inference", "get"],
      ["provider", "get", "local"],
      ["sandbox", "get", "work"],
      ["logs", "work"],
    ]) {
      const { stdout, stderr } = await shell.cli([...words]);
      expect(stdout + stderr).not.toContain(ROTATED);
    }
    for (const path of new Bun.Glob("state/**/*").scanSync({ cwd: shell.directory, dot: true })) {
      const file = Bun.file(join(shell.directory, path));
      if (path.endsWith(".sock") || !(await file.exists())) continue;
      expect({ path, found: readFileSync(join(shell.directory, path)).includes(ROTATED) }).toEqual({ path, found: false });
    }
    // What an agent's own token can ask the gateway for says nothing of routes.
    const { stdout, stderr } = await shell.exec(
      "work",
      "sh",
      "-c",
      "curl -sS --max-time 10 -X POST $OPENSHELL_ENDPOINT/openshell.inference.v1.Inference/GetInferenceBundle -H 'content-type: application/json' -d '{}'",
    );
    expect(stdout + stderr).not.toContain(ROTATED);
    expect(stdout + stderr).not.toContain("apiKey");
  });

  test("removed: 503 again, and nothing points there", async () => {
    await shell.must("inference", "remove");
    await eventually("no route", WITHIN_MS, async () => ((await ask("/v1/models")).status === "503" ? true : undefined));
    const { stdout } = await shell.exec("work", "env");
    expect(stdout).not.toContain("inference.local");
    expect(await shell.must("inference", "delete")).toContain("was not set");
  });
});
