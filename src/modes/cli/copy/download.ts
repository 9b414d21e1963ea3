import { lstatSync } from "node:fs";
import { constants } from "node:os";
import { join, posix } from "node:path";
import { defineCommand } from "../../../command/define.ts";
import { printable } from "../../../command/printable.ts";
import type { Terminal } from "../../../command/terminal.ts";
import { OpenShellError } from "../../../error.ts";
import { withGateway } from "../connection/gateway.ts";
import { rememberSandbox } from "../last-sandbox.ts";
import { openMeter, size } from "./meter.ts";
import { destinationOf, openStaging, place } from "./place.ts";
import { runRemote } from "./remote.ts";
import { isBareRepositoryConfiguration, isToolConfiguration } from "./tool-configuration.ts";
import { type Unpacked, Unpacker } from "./unpack.ts";

const HOME = "/sandbox";

/** What is asked for is found first, so that a link means what it leads to. */
const PACK = [
  'real=$(readlink -f -- "$1") && [ -e "$real" ] || exit 10',
  'cd -- "$(dirname -- "$real")" || exit 11',
  'exec tar -c -f - -- "$(basename -- "$real")"',
].join("\n");
const NOT_FOUND_CODE = 10;

/** Paths that are listed one by one. */
const MAX_LISTED = 20;

export default defineCommand({
  meta: {
    name: "download",
    description: "Copy a file or directory out of a sandbox; says which programs and tool configuration it changed",
    examples: [
      "openshell sandbox download work /sandbox/report.pdf",
      "openshell sandbox download work project ./review     # ./review/project where ./review is a directory",
      "openshell sandbox download work project/ .           # its contents",
    ],
  },
  args: {
    name: { type: "positional", valueHint: "NAME", description: "Sandbox" },
    "sandbox-path": {
      type: "positional",
      valueHint: "PATH",
      description: "File or directory in it; with a slash at its end: its contents",
    },
    dest: { type: "positional", required: false, default: ".", valueHint: "DEST", description: "Where to, as cp reads it" },
  },
  run: ({ args, terminal, globals }) =>
    untilSignal(async (signal) =>
      withGateway({ globals, terminal }, async (gateway) => {
        const sandbox = args.name;
        const path = posix.resolve(HOME, args["sandbox-path"]);
        const contents = /(^|\/)\.?\/?$/.test(args["sandbox-path"]);
        const name = posix.basename(path);
        if (name === "")
          throw new OpenShellError("invalid_argument", "the whole file system of a sandbox cannot be copied", {
            next: "name a directory in it",
          });
        const destination = destinationOf(args.dest ?? ".", name, contents);
        await using staging = openStaging(destination);
        const meter = openMeter(terminal, `Downloading ${printable(name)}`);
        const unpacker = new Unpacker(staging.held, staging.path);
        let unpacked: Unpacked;
        try {
          const { exitCode, stderr } = await runRemote(gateway, {
            sandbox,
            command: ["/bin/sh", "-c", PACK, "download", path],
            signal,
            output: (piece) => {
              unpacker.push(piece);
              meter.at(unpacker.bytes);
            },
          });
          if (exitCode === NOT_FOUND_CODE) throw new OpenShellError("not_found", `${printable(path)} does not exist in the sandbox`);
          if (exitCode !== 0)
            throw new OpenShellError(
              "failed_precondition",
              `the sandbox could not pack ${printable(path)}: ${printable(stderr.trim()) || `exit code ${exitCode}`}`,
            );
          unpacked = unpacker.finish();
        } finally {
          unpacker.close();
          meter.done();
        }
        if (unpacked.files.length + unpacked.directories.length === 0) {
          const reason = unpacked.refused[0]?.reason ?? "the sandbox sent nothing";
          throw new OpenShellError("failed_precondition", `${printable(path)} cannot be copied: ${reason}`);
        }
        const { changed } = place(staging, unpacked);
        report(terminal, unpacked, destination, changed);
        rememberSandbox(sandbox, gateway, terminal);
        return 0;
      }),
    ),
});

/** Runs `use` until whoever interrupts or ends us: then it is given up and cleans up after itself, which may be gigabytes, before we end. */
async function untilSignal(use: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const abort = new AbortController();
  let code = 0;
  const end = (name: keyof typeof constants.signals): void => {
    code = 128 + constants.signals[name];
    abort.abort();
  };
  for (const name of SIGNALS) process.on(name, end);
  try {
    return await use(abort.signal);
  } catch (reason) {
    if (abort.signal.aborted) return code;
    throw reason;
  } finally {
    for (const name of SIGNALS) process.off(name, end);
  }
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What came, and what of it this machine could run or obey. */
function report(terminal: Terminal, unpacked: Unpacked, destination: string, changed: readonly string[]): void {
  for (const { path, reason } of unpacked.refused) terminal.err(`left out ${shown(path)}: ${reason}\n`);
  const runs = changed.filter((path) => runnable(join(destination, path)));
  const programs = new Set(runs);
  const holds = (path: string): boolean => lstatSync(join(destination, path), { throwIfNoEntry: false }) !== undefined;
  const obeyed = (path: string): boolean => isToolConfiguration(path) || isBareRepositoryConfiguration(path, holds);
  const configures = changed.filter((path) => !programs.has(path) && obeyed(path));
  list(terminal, "Changed programs", runs);
  list(terminal, "Changed tool configuration", configures);
  const count = unpacked.files.length + unpacked.links.length;
  terminal.out(
    `${terminal.style.green("✓")} Downloaded ${count} ${count === 1 ? "file" : "files"} (${size(unpacked.bytes)}) to ${printable(destination)}\n`,
  );
}

function list(terminal: Terminal, title: string, paths: readonly string[]): void {
  if (paths.length === 0) return;
  terminal.err(`${terminal.errorStyle.yellow("!")} ${title}: look at them before you use them\n`);
  for (const path of paths.slice(0, MAX_LISTED)) terminal.err(`    ${shown(path)}\n`);
  if (paths.length > MAX_LISTED) terminal.err(`    and ${paths.length - MAX_LISTED} more\n`);
}

function shown(path: string): string {
  return path === "" ? "the file itself" : printable(path);
}

function runnable(path: string): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isFile() === true && (stats.mode & 0o111) !== 0;
}
