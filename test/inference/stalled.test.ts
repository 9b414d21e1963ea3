/** Answers of models that nobody reads: they stay at the model's server, and the supervisor keeps its memory. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Inside, installed, missingFor } from "../clients/inside.ts";
import { BINARY } from "../e2e/installation.ts";
import { ProgramMemory } from "../inspect/supervisor-memory.ts";
import { ModelServer, routesFile } from "./models.ts";

const curl = installed("curl", "/usr/bin/curl");
/** Of 30 MB each. */
const ANSWERS = 30;
/** What the supervisor may grow by, in KB: three times 128 KiB for each answer, its TLS, and what is not collected yet. */
const GROWTH_KB = 128 * 1024;

const missing = missingFor("stalled answers", curl);
describe.skipIf(missing !== undefined)("answers that nobody reads", () => {
  let inside: Inside;
  let model: ModelServer;
  let flags: readonly string[];
  beforeAll(async () => {
    inside = await Inside.open([{ binaries: ["/usr/bin/false"], endpoints: ["api.example.com:443"] }]);
    model = await ModelServer.start(inside.net);
    const route = `{ name: inference.local, endpoint: "${model.url}", model: real-model, protocols: [openai_chat_completions, model_discovery], api_key: sk-0123456789abcdef }`;
    flags = ["--policy", inside.shell.policy("stalled", "version: 1"), "--inference-routes", routesFile(inside.net, `routes: [${route}]`)];
  });
  afterAll(async () => {
    await model?.[Symbol.asyncDispose]();
    await inside?.[Symbol.asyncDispose]();
  });

  for (const version of ["--http1.1", "--http2"])
    test(`threat-16 threat-28 ${ANSWERS} of them, ${version}; another question is answered meanwhile, and all are whole when they are read`, async () => {
      const ask = (more: string) => `curl -sSN ${version} -d '{"stream":true${more}}' https://inference.local/v1/chat/completions`;
      const script = [
        `${ask(',"flood":true')} | wc -c`,
        "echo idle; read go; mkfifo /tmp/go; exec 9<>/tmp/go",
        `for i in $(seq ${ANSWERS}); do (${ask(',"flood":true')} | (head -c 1000 > /dev/null; echo begun >> /tmp/begun; read go < /tmp/go; wc -c >> /tmp/sizes)) & done`,
        `until [ "$(cat /tmp/begun 2> /dev/null | wc -l)" = ${ANSWERS} ]; do sleep 0.2; done; sleep 2`,
        "curl -sS -o /dev/null -w 'beside %{http_code}\\n' https://inference.local/v1/models",
        "echo stands; read go",
        `for i in $(seq ${ANSWERS}); do echo go >&9; done; wait; sort -u /tmp/sizes; wc -l < /tmp/sizes`,
      ].join("\n");
      const program = await inside.net.spawnOnHost([BINARY, "sandbox", "run", ...flags, "--", "/bin/bash", "-c", script]);
      await program.waitForOutput(/^idle$/m);
      const memory = await ProgramMemory.of(inside.net, program);
      memory.start();
      await program.write("\n");
      await program.waitForOutput(/^stands$/m);
      const grown = memory.growth();
      await program.write("\n");
      const { stdout } = await program.exited;
      const [whole = "", , beside, , ...sizes] = stdout.trim().split("\n");
      expect(beside).toBe("beside 200");
      // `head` may have read more than it was asked for.
      expect(sizes.length).toBeGreaterThan(1);
      expect(sizes.at(-1)?.trim()).toBe(String(ANSWERS));
      for (const size of sizes.slice(0, -1)) {
        expect(Number(size)).toBeLessThan(Number(whole));
        expect(Number(size)).toBeGreaterThan(Number(whole) - 100_000);
      }
      expect(grown).toBeLessThan(GROWTH_KB);
    }, 300_000);
});
