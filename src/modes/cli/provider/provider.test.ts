import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { toConnectError } from "../../../rpc/errors.ts";
import { type Provider, ProviderSchema } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import { type ProviderProfile, ProviderProfileSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { fakeGateway } from "../gateway.fixture.ts";

const github: ProviderProfile = create(ProviderProfileSchema, {
  id: "github",
  credentials: [{ name: "api_token", envVars: ["GITHUB_TOKEN", "GH_TOKEN"], authStyle: "bearer", headerName: "authorization" }],
  discovery: { credentials: ["api_token"] },
});

function shown(provider: Provider | undefined): Provider {
  const credentials = Object.fromEntries(Object.keys(provider?.credentials ?? {}).map((key) => [key, "REDACTED"]));
  return create(ProviderSchema, { type: provider?.type ?? "", metadata: { name: provider?.metadata?.name ?? "" }, credentials });
}

/** Answers what it is asked and keeps what was sent. */
function keeping(sent: Provider[], existing: readonly Provider[] = []) {
  const keep = ({ provider }: { provider?: Provider | undefined }) => {
    if (provider !== undefined) sent.push(provider);
    return { provider: shown(provider) };
  };
  const getProviderProfile = ({ id }: { id: string }) => {
    if (id === "github" || id === "gh") return { profile: github };
    throw toConnectError(new OpenShellError("not_found", `provider profile '${id}' not found`), () => {});
  };
  return { createProvider: keep, updateProvider: keep, getProviderProfile, listProviders: () => ({ providers: [...existing] }) };
}

describe("provider create", () => {
  test("KEY takes the variable, KEY=VALUE the word; the answer shows names alone", async () => {
    const sent: Provider[] = [];
    await using gateway = await fakeGateway(keeping(sent));
    const line = "provider create --name gh --type github --credential GITHUB_TOKEN --credential OTHER=a=b --config URL=https://x";
    const { code, out, err } = await gateway.run(line, { env: { GITHUB_TOKEN: "secret-one" } });
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain("Created provider 'gh' with GITHUB_TOKEN, OTHER");
    expect(out).not.toContain("secret-one");
    expect(sent[0]).toMatchObject({
      type: "github",
      credentials: { GITHUB_TOKEN: "secret-one", OTHER: "a=b" },
      config: { URL: "https://x" },
    });
  });
  test("--from-existing takes what is set of what the kind reads", async () => {
    const sent: Provider[] = [];
    await using gateway = await fakeGateway(keeping(sent));
    const line = "provider create --type github --from-existing";
    expect((await gateway.run(line, { env: { GH_TOKEN: "two", UNRELATED: "three" } })).code).toBe(0);
    expect(sent[0]?.credentials).toEqual({ GH_TOKEN: "two" });
    const { code, err } = await gateway.run(line);
    expect([code, err.includes("GITHUB_TOKEN, GH_TOKEN")]).toEqual([1, true]);
  });
  test.each([
    ["--type github --credential UNSET", "UNSET is not set"],
    ["--type github --credential A=1 --credential A=2", "'A' twice"],
    ["--type github --credential A=1 --from-existing", "exclude each other"],
    ["--credential A=1", "--type"],
  ])("refused before any call: %s", async (flags, text) => {
    await using gateway = await fakeGateway({});
    const { code, err } = await gateway.run(`provider create ${flags}`);
    expect([code > 0, err.includes(text)]).toEqual([true, true]);
  });
});

test("provider update: an empty setting and a removed credential are sent as empty", async () => {
  const sent: Provider[] = [];
  await using gateway = await fakeGateway(keeping(sent));
  const line = "provider update gh --credential A=1 --remove-credential B --config URL=";
  expect((await gateway.run(line)).code).toBe(0);
  expect(sent[0]).toMatchObject({ credentials: { A: "1", B: "" }, config: { URL: "" } });
});

test("provider list and get show names of credentials", async () => {
  const provider = create(ProviderSchema, { metadata: { name: "gh" }, type: "github", credentials: { GITHUB_TOKEN: "REDACTED" } });
  await using gateway = await fakeGateway({ listProviders: () => ({ providers: [provider] }), getProvider: () => ({ provider }) });
  expect((await gateway.run("provider list")).out).toBe("NAME   TYPE     CREATED   CREDENTIALS\ngh     github   -         GITHUB_TOKEN\n");
  expect((await gateway.run("provider list --names")).out).toBe("gh\n");
  expect(JSON.parse((await gateway.run("provider get gh -o json")).out)).toMatchObject({ name: "gh", credential_keys: ["GITHUB_TOKEN"] });
});

test("provider list: some of them, and of every workspace", async () => {
  const providers = ["a", "b", "c"].map((name) => create(ProviderSchema, { metadata: { name, workspace: `of-${name}` }, type: "github" }));
  const asked: (string | undefined)[] = [];
  await using gateway = await fakeGateway({
    listProviders: ({ workspaceScope }) => {
      asked.push(workspaceScope?.selection.case);
      return { providers };
    },
  });
  expect((await gateway.run("provider list --limit 1 --offset 1 -o name")).out).toBe("b\n");
  expect((await gateway.run("provider list --offset 2 -o name")).out).toBe("c\n");
  expect((await gateway.run("provider list --all-workspaces")).out).toMatch(/WORKSPACE +NAME.*\nof-a +a /);
  expect(asked).toEqual(["workspace", "workspace", "allWorkspaces"]);
});

describe("sandbox create", () => {
  const answer = { sandbox: { metadata: { name: "work" }, spec: {}, status: {} } };
  test("--provider goes along, in order", async () => {
    const seen: string[][] = [];
    await using gateway = await fakeGateway({
      createSandbox: ({ spec }) => {
        seen.push(spec?.providers ?? []);
        return answer;
      },
    });
    await gateway.run("sandbox create --name work --no-wait --provider a --provider b");
    expect(seen).toEqual([["a", "b"]]);
  });
  test("--auto-providers: the one there is, else one of the variables here, else a sentence", async () => {
    const seen: string[][] = [];
    const sent: Provider[] = [];
    const existing = create(ProviderSchema, { metadata: { name: "mine" }, type: "gh" });
    const createSandbox = ({ spec }: { spec?: { providers: string[] } | undefined }) => {
      seen.push(spec?.providers ?? []);
      return answer;
    };
    const line = "sandbox create --name work --no-wait --auto-providers -- /usr/bin/gh pr list";
    {
      await using gateway = await fakeGateway({ ...keeping(sent, [existing]), createSandbox });
      await gateway.run(line);
      await gateway.run("sandbox create --name work --no-wait --auto-providers -- make");
    }
    await using gateway = await fakeGateway({ ...keeping(sent), createSandbox });
    await gateway.run(line, { env: { GITHUB_TOKEN: "x" } });
    expect(seen).toEqual([["mine"], [], ["github"]]);
    const { code, err } = await gateway.run(line);
    expect([code, err.includes("GITHUB_TOKEN")]).toEqual([1, true]);
  });
});

test("names of providers complete where one is wanted", async () => {
  const provider = create(ProviderSchema, { metadata: { name: "github" } });
  await using gateway = await fakeGateway({ listProviders: () => ({ providers: [provider] }), listSandboxes: () => ({}) });
  const complete = async (...words: string[]) => (await gateway.run(["complete", "--", ...words])).out.trim();
  expect(await complete("provider", "get", "")).toBe("github");
  expect(await complete("provider", "get", "github", "")).toBe("");
  expect(await complete("provider", "delete", "github", "g")).toBe("github");
  expect(await complete("sandbox", "provider", "attach", "work", "")).toBe("github");
  expect(await complete("sandbox", "create", "--provider", "")).toBe("github");
});
