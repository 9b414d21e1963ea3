#!/usr/bin/env bun
/** The root command: picks a mode and imports only that one, so that `--help` starts fast and a helper carries no more than it needs. */

async function main(argv: readonly string[]): Promise<number> {
  switch (argv[0]) {
    // One-shot helpers, started by the supervisor and by `doctor`, never by a person.
    case "net-helper":
      return (await import("./modes/sandbox/box/net-helper.ts")).main(argv.slice(1));
    case "sandbox-init":
      return (await import("./modes/sandbox/box/sandbox-init.ts")).main();
    case "landlock-shim":
      return (await import("./modes/sandbox/box/landlock-shim.ts")).main();
    case "sftp-server":
      return (await import("./modes/sandbox/sftp/main.ts")).main();
    case "doctor-probe":
      return (await import("./modes/sandbox/doctor/probe-helper.ts")).main();
  }
  // A gateway waits for its supervisors: what finds and reads the other commands is not loaded for them.
  if (argv.length === 4 && argv.slice(0, 3).join(" ") === "sandbox run --spec") {
    return (await import("./modes/sandbox/from-spec.ts")).main(argv[3] as string);
  }
  const { createRoot, runRoot } = await import("./modes/cli/root.ts");
  const root = createRoot({
    gatewayServe: async () => (await import("./modes/gateway/command.ts")).serveCommand,
    doctor: async () => (await import("./modes/sandbox/doctor/command.ts")).doctorCommand,
    sandboxRun: async () => (await import("./modes/sandbox/command.ts")).runCommand,
  });
  return runRoot(root, argv);
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    process.stderr.write(`Error: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
