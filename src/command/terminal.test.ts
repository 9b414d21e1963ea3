import { expect, test } from "bun:test";

/** Runs a script with a terminal of its own and answers what came out, byte for byte. */
async function onTerminal(script: string): Promise<string> {
  let output = "";
  const take = (_: unknown, data: Uint8Array): void => {
    output += new TextDecoder().decode(data);
  };
  const child = Bun.spawn({
    cmd: [process.execPath, "-e", script],
    cwd: import.meta.dir,
    terminal: { cols: 80, rows: 24, data: take },
  });
  expect(await child.exited).toBe(0);
  while (!output.includes("END")) await Bun.sleep(1);
  child.terminal?.close();
  return output;
}

const SETUP = `import { processTerminal } from "./terminal.ts"; const terminal = processTerminal(); const bytes = (text) => terminal.outBytes(new TextEncoder().encode(text));`;

test("what a remote program writes reaches a raw terminal unchanged, line feeds too", async () => {
  const output = await onTerminal(
    `${SETUP} terminal.stdin.raw(true); await bytes("a\\nb\\r\\nc\\n"); terminal.stdin.raw(false); await bytes("d\\nEND");`,
  );
  expect(output).toContain("a\nb\r\nc\n");
  // Given back, the terminal ends lines as before.
  expect(output).toContain("d\r\nEND");
});

test("a process that ends in raw mode leaves the terminal as it was", async () => {
  const output = await onTerminal(`${SETUP} terminal.stdin.raw(true); const { spawnSync } = Bun;
    process.on("exit", () => spawnSync({ cmd: ["sh", "-c", "stty -a | tr ' ' '\\\\n' | grep -x -e opost -e -opost; echo END"], stdin: "inherit", stdout: "inherit" }));
    process.exit(0);`);
  expect(output).toMatch(/^opost/m);
});
