import { expect, test } from "bun:test";
import { join } from "node:path";
import { isAlive, startTime } from "./process-facts.ts";

test("a process lives with its own start time alone, and not when it is gone", async () => {
  const child = Bun.spawn(["/bin/sleep", "60"]);
  const start = startTime(child.pid) ?? 0;
  expect([isAlive(child.pid, start), isAlive(child.pid, start + 1)]).toEqual([true, false]);
  child.kill("SIGKILL");
  await child.exited;
  expect(isAlive(child.pid, start)).toBe(false);
});

test("without a free descriptor nobody is taken for ended", async () => {
  const script = `
    import { closeSync, openSync } from "node:fs";
    import { isAlive, startTime } from ${JSON.stringify(join(import.meta.dir, "process-facts.ts"))};
    const start = startTime(process.pid);
    const held = [];
    try { for (;;) held.push(openSync("/dev/null", "r")); } catch {}
    let said;
    try { said = isAlive(process.pid, start); } catch (error) { said = error.code; }
    for (const fd of held) closeSync(fd);
    console.log(said, isAlive(process.pid, start));
  `;
  const child = Bun.spawn(["/bin/bash", "-c", 'ulimit -n 128 && exec "$0" -e "$1"', process.execPath, script], { stdout: "pipe" });
  expect(await new Response(child.stdout).text()).toBe("EMFILE true\n");
});
