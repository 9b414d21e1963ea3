import { posix } from "node:path";
import { defineCommand } from "../../../command/define.ts";
import { printable } from "../../../command/printable.ts";
import type { Terminal } from "../../../command/terminal.ts";
import { OpenShellError } from "../../../error.ts";
import { type Gateway, withGateway } from "../connection/gateway.ts";
import { rememberSandbox } from "../last-sandbox.ts";
import { openMeter, size } from "./meter.ts";
import { packTree } from "./pack.ts";
import { runRemote } from "./remote.ts";
import { type LocalTree, walkLocal } from "./walk.ts";

/** Where files go that are given no destination: the sandbox's home and working directory. */
const DEFAULT_DESTINATION = "/sandbox";

/** Makes the directory and unpacks into it; the words after it are data to the shell. */
const UNPACK = 'mkdir -p -- "$1" && exec tar -x -f - -C "$1"';

/** Exit code of the question whether something is a directory, when it is. */
const IS_DIRECTORY = 'if [ -d "$1" ]; then exit 10; fi';
const IS_DIRECTORY_CODE = 10;

/** Copies a file or directory of this machine into a sandbox; `destination` as cp reads it, relative to the sandbox's home. */
export async function upload(
  gateway: Gateway,
  terminal: Terminal,
  { sandbox, local, destination, gitIgnore }: { sandbox: string; local: string; destination: string | undefined; gitIgnore: boolean },
): Promise<void> {
  using tree = walkLocal(local, { gitIgnore });
  const contents = tree.directory && /(^|\/)\.{0,2}\/?$/.test(local);
  const target = await remoteTarget(gateway, sandbox, tree, contents, destination);
  const meter = openMeter(terminal, `Uploading ${printable(tree.name)}`, tree.bytes);
  let gone = 0;
  const nameOf = (path: string): string => [target.name, path].filter((part) => part !== "").join("/") || ".";
  const root = {
    kind: "directory",
    path: "",
    source: local,
    target: "",
    mode: 0o755,
    size: 0,
    modified: Math.floor(Date.now() / 1000),
  } as const;
  const entries = tree.directory && target.name !== "" ? [root, ...tree.entries] : tree.entries;
  const input = packTree(tree.held, entries, nameOf, (bytes) => {
    gone += bytes;
    meter.at(gone);
  });
  try {
    const { exitCode, stderr } = await runRemote(gateway, {
      sandbox,
      command: ["/bin/sh", "-c", UNPACK, "upload", target.directory],
      input,
    });
    if (exitCode !== 0) {
      throw new OpenShellError(
        "failed_precondition",
        `the sandbox could not unpack the copy: ${printable(stderr.trim()) || `exit code ${exitCode}`}`,
        {
          next: "name a directory that the sandbox's user may write in",
        },
      );
    }
  } finally {
    meter.done();
  }
  for (const path of tree.skipped) terminal.err(`skipped ${printable(path)}: neither file, directory nor link\n`);
  const files = tree.entries.filter(({ kind }) => kind !== "directory").length;
  const place = posix.join(target.directory, target.name);
  terminal.out(
    `${terminal.style.green("✓")} Uploaded ${files} ${files === 1 ? "file" : "files"} (${size(tree.bytes)}) to ${printable(place)}\n`,
  );
}

/** Into which directory, and under which name there; an empty name: without one. */
async function remoteTarget(
  gateway: Gateway,
  sandbox: string,
  tree: LocalTree,
  contents: boolean,
  given: string | undefined,
): Promise<{ directory: string; name: string }> {
  const path = posix.resolve(DEFAULT_DESTINATION, given ?? "");
  if (contents) return { directory: path, name: "" };
  if (given === undefined || given.endsWith("/")) return { directory: path, name: tree.name };
  const { exitCode } = await runRemote(gateway, { sandbox, command: ["/bin/sh", "-c", IS_DIRECTORY, "upload", path] });
  if (exitCode === IS_DIRECTORY_CODE) return { directory: path, name: tree.name };
  return { directory: posix.dirname(path), name: posix.basename(path) };
}

export default defineCommand({
  meta: {
    name: "upload",
    description: "Copy a file or directory into a sandbox; in a git work tree, what .gitignore leaves out stays",
    examples: [
      "openshell sandbox upload work ./project              # /sandbox/project",
      "openshell sandbox upload work ./project/ /sandbox    # its contents",
      "openshell sandbox upload work notes.txt docs/",
    ],
  },
  args: {
    name: { type: "positional", valueHint: "NAME", description: "Sandbox" },
    local: {
      type: "positional",
      valueHint: "LOCAL",
      description: "File or directory of this machine; with a slash at its end: its contents",
    },
    dest: { type: "positional", required: false, valueHint: "DEST", description: "Where to, as cp reads it (default: /sandbox)" },
    "git-ignore": {
      type: "boolean",
      default: true,
      description: "Leave out what .gitignore names",
      negativeDescription: "--no-git-ignore copies everything",
    },
  },
  run: ({ args, terminal, globals }) =>
    withGateway({ globals, terminal }, async (gateway) => {
      await upload(gateway, terminal, { sandbox: args.name, local: args.local, destination: args.dest, gitIgnore: args["git-ignore"] });
      rememberSandbox(args.name, gateway, terminal);
      return 0;
    }),
});
