/** `sandbox run --inference-routes` with the compiled binary: real SDKs, streams, refusals, and what a program cannot learn. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { dirname } from "node:path";
import { Inside, installed, missingFor, pathOf } from "../clients/inside.ts";
import { bundled, ModelServer, routesFile } from "./models.ts";

const curl = installed("curl", "/usr/bin/curl");
const node = installed("Node.js", "/usr/bin/node", "/usr/local/bin/node");
const missing = missingFor("models from inside", curl, node);

const KEY = "sk-the-operators-own-key-0123456789";

describe.skipIf(missing !== undefined)("models from inside", () => {
  let inside: Inside;
  let model: ModelServer;
  let routes: string;

  beforeAll(async () => {
    inside = await Inside.open([{ binaries: ["/usr/bin/false"], endpoints: ["api.example.com:443"] }]);
    model = await ModelServer.start(inside.net);
    routes = routesFile(
      inside.net,
      `routes:
  - { name: sandbox-system, endpoint: "${model.url}", model: real-model-own, protocols: [openai_completions], api_key: other }
  - name: inference.local
    endpoint: ${model.url}
    model: real-model
    protocols: [openai_chat_completions, openai_embeddings, model_discovery]
    api_key: ${KEY}
  - { name: claude, endpoint: "${model.url}", model: real-model-a, provider_type: anthropic, protocols: [anthropic_messages], api_key: ${KEY} }
`,
    );
  });
  afterAll(async () => {
    await model?.[Symbol.asyncDispose]();
    await inside?.[Symbol.asyncDispose]();
  });

  async function sdk(name: string): Promise<{ stdout: string; stderr: string; exitCode: number }> {
    const path = await bundled(inside.net, name);
    return inside.run(
      [pathOf(node), `/sandbox/sdk/${name}.cjs`],
      ["--inference-routes", routes, "--mount", `${dirname(path)}:/sandbox/sdk:ro`],
    );
  }

  test("OpenAI's SDK works with no arguments, streams included", async () => {
    const { stdout, stderr, exitCode } = await sdk("openai-client");
    expect({ exitCode, stdout, stderr }).toMatchObject({
      exitCode: 0,
      stdout: "chat: real-model: hello from the model\nembedding: 0.25,0.5\nmodels: real-model\nstream: first |second\n",
    });
    const [chat] = model.seen;
    expect(chat).toMatchObject({ path: "/v1/chat/completions", authorization: `Bearer ${KEY}` });
    expect(JSON.parse(chat?.body ?? "")).toMatchObject({ model: "real-model", messages: [{ role: "user", content: "hello" }] });
    expect(stderr).toMatch(/HTTP:POST .*inference\.local\/v1\/chat\/completions .*model:real-model status:200 tokens:11\+22/);
    expect(stderr).not.toContain(KEY);
  });

  test("Anthropic's SDK works with no arguments, streams included", async () => {
    const before = model.seen.length;
    const { stdout, stderr, exitCode } = await sdk("anthropic-client");
    expect({ exitCode, stdout, stderr }).toMatchObject({
      exitCode: 0,
      stdout: "message: real-model-a: hello from the model\nstream: first |second\n",
    });
    const [question] = model.seen.slice(before);
    expect(question).toMatchObject({ path: "/v1/messages", key: KEY });
    expect(question?.authorization).toBeUndefined();
  });

  test("case-82 case-83 case-84 case-85 case-88 what is asked decides what is answered", async () => {
    const before = model.seen.length;
    const ask = (path: string, ...words: string[]) => `curl -sS -w ' %{http_code}\\n' ${words.join(" ")} https://inference.local${path}`;
    const { stdout, stderr } = await inside.script(
      [
        ask("/v1/models", "-H 'Authorization: Bearer mine' -H 'Cookie: a=b'"),
        ask("/anything"),
        ask("/v1/completions", "-d '{}'"),
        ask("/v1/chat/completions", '-H \'Openshell-Caller: 1\' -d \'{"model":"a","Model":"b"}\''),
        // HTTP/1.1 and HTTP/2, and without TLS.
        ask("/v1/models", "--http1.1"),
        "curl -sS -w ' %{http_code}\\n' http://inference.local/v1/models",
      ].join("\n"),
      ["--inference-routes", routes],
    );
    const statuses = [...stdout.matchAll(/ (\d{3})$/gm)].map(([, status]) => status);
    expect({ statuses, stderr }).toMatchObject({ statuses: ["200", "403", "400", "400", "200", "200"] });
    expect(stdout).toContain("connection not allowed by policy");
    expect(stdout).toContain("no compatible inference route available");
    const seen = model.seen.slice(before);
    expect(seen.map(({ path, authorization, cookie }) => [path, authorization, cookie])).toEqual([
      ["/v1/models", `Bearer ${KEY}`, undefined],
      ["/v1/models", `Bearer ${KEY}`, undefined],
      ["/v1/models", `Bearer ${KEY}`, undefined],
    ]);
    const none = await inside.script(
      `${ask("/v1/models")}\n${ask("/v1/chat/completions", "-d '{}'").replace("inference.local", "other.example.com")} || true`,
    );
    expect(none.stdout).toContain('"hint":"run: openshell inference set --help"}\n 503');
    expect(none.stderr).toMatch(/DENIED .*other\.example\.com/);
  });

  test("case-86 a program that goes away in the middle ends the question; large bodies are refused in either version of HTTP", async () => {
    const { stdout, stderr } = await inside.script(
      [
        "curl -sSN -o /tmp/answer -d '{\"stream\":true}' https://inference.local/v1/chat/completions & asking=$!",
        "until grep -qs first /tmp/answer; do sleep 0.1; done; kill $asking; echo gone",
        "head -c 11534336 /dev/zero > /tmp/large",
        ...["--http1.1", "--http2"].map(
          (version) =>
            `curl -sS ${version} -o /dev/null -w '%{http_code}\\n' --data-binary @/tmp/large https://inference.local/v1/chat/completions`,
        ),
      ].join("\n"),
      ["--inference-routes", routes],
    );
    expect({ stdout, stderr }).toMatchObject({ stdout: expect.stringMatching(/^gone\n413\n413\n$/) });
    expect(stderr).toContain("the program went away");
  });

  test("the key is nowhere inside: environment, files, processes", async () => {
    const { stdout } = await inside.script(
      `env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; ls -la / /run /tmp /etc 2>/dev/null; grep -rl ${KEY.slice(0, 12)} /etc /run /tmp /sandbox 2>/dev/null | head; echo looked`,
      ["--inference-routes", routes],
    );
    expect(stdout).toContain("looked");
    expect(stdout).not.toContain("operators-own-key");
    expect(stdout).not.toContain("inference.sock");
  });

  test("a provider is verified: system roots and the operator's, nothing else", async () => {
    const secure = routesFile(
      inside.net,
      `routes: [{ name: inference.local, endpoint: "https://mirror.example.com/v1", model: m, protocols: [openai_chat_completions], api_key: ${KEY} }]`,
    );
    const question = "curl -sS -w ' %{http_code}\\n' -d '{}' https://inference.local/v1/chat/completions";
    const trusted = await inside.script(question, ["--inference-routes", secure]);
    expect(trusted.stdout).toEndWith(" 200\n");
    // The server answers with what it was sent; the credential is hidden in it.
    expect(trusted.stdout).not.toContain(KEY);
    const words = ["sandbox", "run", "--inference-routes", secure, "--", "/bin/sh", "-c", question];
    const untrusted = await inside.shell.cli(words, { env: { OPENSHELL_UPSTREAM_CA: "" } });
    expect(untrusted.stdout).toEndWith(" 503\n");
    expect(untrusted.stdout).toContain("certificate");
  });

  test("a variable of the user's own is kept, and then the other of the same SDK is not set", async () => {
    const flags = ["--inference-routes", routes, "--env", "OPENAI_API_KEY=mine"];
    const { stdout } = await inside.script("env | grep -E '^(OPENAI|ANTHROPIC)' | sort", flags);
    expect(stdout).toBe("ANTHROPIC_API_KEY=openshell-inference-local\nANTHROPIC_BASE_URL=https://inference.local\nOPENAI_API_KEY=mine\n");
  });

  test("a bad file of routes is told with its lines, and nothing runs", async () => {
    const bad = routesFile(
      inside.net,
      'routes:\n  - name: x\n    endpoint: "ftp://x"\n    model: m\n    protcols: [openai_chat_completions]\n',
    );
    const finished = await inside.script("echo ran", ["--inference-routes", bad]);
    expect(finished.exitCode).toBe(2);
    expect(finished.stdout).toBe("");
    expect(finished.stderr).toMatch(/3(:\d+)?.*endpoint|endpoint.*line 3/);
    expect(finished.stderr).toContain("protcols");
    const readable = routesFile(
      inside.net,
      `routes: [{ name: x, endpoint: "${model.url}", model: m, protocols: [model_discovery], api_key: k }]`,
      0o644,
    );
    expect((await inside.script("echo ran", ["--inference-routes", readable])).stderr).toContain("chmod 600");
    const writable = await inside.script("echo ran", ["--inference-routes", routes, "--mount", `${inside.net.directory}:/sandbox/w:rw`]);
    expect(writable.stderr).toContain("the program may write");
    expect(writable.stdout).toBe("");
  });
});
