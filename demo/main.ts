/** `bun run demo`: installs what the lock file says, builds, and shows the loop on real sockets. No argument, nothing left behind. */

function must(...args: string[]): void {
  const { exitCode, stdout, stderr } = Bun.spawnSync({ cmd: [process.execPath, ...args], stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  if (exitCode === 0) return;
  console.error(`'bun ${args.join(" ")}' failed:\n${stdout}${stderr}`);
  process.exit(1);
}

async function main(): Promise<number> {
  if (process.getuid?.() !== 0) {
    console.error("Error: the demo makes network namespaces, which needs root here.\nNext: sudo npx --yes bun@1.4.5 run demo");
    return 1;
  }
  must("install", "--frozen-lockfile");
  must("scripts/build.ts");
  // Only now are our dependencies there.
  const { tour } = await import("./tour.ts");
  return tour();
}

process.exit(await main());

export {};
