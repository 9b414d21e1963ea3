import { expect, test } from "bun:test";
import { endProcess, findSupervisors, isRunning } from "./processes.ts";

const SLEEP = ["/bin/sh", "-c", "while :; do sleep 1; done", "sandbox", "run", "--spec"];

test("every process of this user with such a command line is found, those of others are not", async () => {
  const root = `/nowhere/openshell-${crypto.randomUUID()}/sandboxes`;
  const spawn = (id: string) => Bun.spawn([...SLEEP, `${root}/${id}/run/spec.json`, "x"], { stdio: ["ignore", "ignore", "ignore"] });
  const own = [spawn("a"), spawn("a"), spawn("b")];
  const foreign =
    process.getuid?.() === 0
      ? Bun.spawn([
          "/usr/bin/setpriv",
          "--reuid=1999999999",
          "--regid=1999999999",
          "--clear-groups",
          ...SLEEP,
          `${root}/a/run/spec.json`,
          "x",
        ])
      : undefined;
  try {
    // setpriv has become the shell when the shell's own words are gone.
    while (foreign !== undefined && (await Bun.file(`/proc/${foreign.pid}/cmdline`).text()).includes("setpriv")) await Bun.sleep(5);
    const found = findSupervisors(root);
    expect(found.map(({ sandboxId, pid }) => [sandboxId, pid]).sort()).toEqual(
      own.map(({ pid }, index) => [index < 2 ? "a" : "b", pid] as [string, number]).sort(),
    );
    const [first] = found;
    if (first === undefined) throw new Error("nothing found");
    await endProcess(first);
    expect(isRunning(first)).toBe(false);
    // Never another process that got the same number.
    await endProcess({ pid: found[1]?.pid ?? 0, startTime: 1 });
    expect(isRunning(found[1] ?? { pid: 0, startTime: 0 })).toBe(true);
  } finally {
    for (const child of own) child.kill("SIGKILL");
    foreign?.kill("SIGKILL");
  }
});
