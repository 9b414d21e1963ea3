import { type Command, defineCommand } from "../../../command/define.ts";
import { outputArg } from "../../../command/output.ts";
import { OpenShellError } from "../../../error.ts";
import { ChunkLifetime } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { optionalName, waitTimeout } from "../sandbox/arguments.ts";
import { approveAll, approveOne } from "./approve.ts";
import { clearChunks, editChunk, rejectChunk, retryChunk, undoChunk } from "./decide.ts";
import { showHistory } from "./history.ts";
import { listArgs, runList } from "./list.ts";

const sandbox = { type: "positional", valueHint: "NAME", description: "Sandbox" } as const;
const chunk = { type: "positional", valueHint: "ID", description: "Chunk id, or a unique beginning of it" } as const;
const wait = { type: "boolean", description: "Return when the sandbox has acknowledged the new policy" } as const;
const yes = { type: "boolean", alias: "y", description: "Do not ask" } as const;

/** Undefined: until someone takes it back. */
function lifetimeOf({
  once,
  session,
}: {
  readonly once: boolean | undefined;
  readonly session: boolean | undefined;
}): ChunkLifetime | undefined {
  if (once && session) throw new OpenShellError("invalid_argument", "--once and --session exclude each other");
  return once ? ChunkLifetime.ONCE : session ? ChunkLifetime.SESSION : undefined;
}

const approve = defineCommand({
  meta: {
    name: "approve",
    description: "Approve a proposal: it becomes a policy rule at once",
    examples: [
      "openshell sandbox draft approve work 3f2a91c0 --wait",
      "openshell sandbox draft approve work 3f2a91c0 --once --wait",
      "openshell sandbox draft approve work --all",
    ],
  },
  args: {
    name: sandbox,
    id: { ...chunk, required: false },
    all: { type: "boolean", description: "Every pending chunk without security notes" },
    "include-flagged": { type: "boolean", description: "With --all: ask for flagged ones too, one by one" },
    once: { type: "boolean", description: "For one request: the rule is gone when it has been allowed" },
    session: { type: "boolean", description: "Until the sandbox stops" },
    wait,
    timeout: waitTimeout,
    yes,
  },
  run: ({ args, ...choice }) => {
    const lifetime = lifetimeOf(args);
    if (args.all && lifetime !== undefined) {
      throw new OpenShellError("invalid_argument", "--once and --session are for one proposal, they cannot go with --all");
    }
    const options = { sandbox: args.name, yes: args.yes ?? false, wait: args.wait ?? false, timeoutSeconds: args.timeout, lifetime };
    if (args.all && args.id !== undefined) throw new OpenShellError("invalid_argument", "--all and a chunk id exclude each other");
    if (args["include-flagged"] && !args.all) throw new OpenShellError("invalid_argument", "--include-flagged goes with --all");
    if (args.all) return approveAll(args["include-flagged"] ?? false, options, choice);
    if (args.id !== undefined) return approveOne(args.id, options, choice);
    throw new OpenShellError("invalid_argument", "argument ID is missing", {
      next: `openshell sandbox draft ${args.name} shows the ids, --all takes all`,
    });
  },
});

const reject = defineCommand({
  meta: {
    name: "reject",
    description: "Reject a proposal; the reason goes back to the advisor",
    examples: ["openshell sandbox draft reject work 3f2a91c0 --reason 'use the mirror'"],
  },
  args: { name: sandbox, id: chunk, reason: { type: "string", default: "", valueHint: "TEXT", description: "Why" } },
  run: ({ args, ...choice }) => rejectChunk(args.name, args.id, args.reason, choice),
});

const undo = defineCommand({
  meta: {
    name: "undo",
    description: "Take an approval back: exactly what it added is removed",
    examples: ["openshell sandbox draft undo work 3f2a91c0 --wait"],
  },
  args: { name: sandbox, id: chunk, wait, timeout: waitTimeout },
  run: ({ args, ...choice }) => undoChunk(args.name, args.id, args.wait ? args.timeout : undefined, choice),
});

const retry = defineCommand({
  meta: {
    name: "retry",
    description: "Make a rejected proposal pending again, and lift its back-off",
    examples: ["openshell sandbox draft retry work 3f2a91c0"],
  },
  args: { name: sandbox, id: chunk },
  run: ({ args, ...choice }) => retryChunk(args.name, args.id, choice),
});

const edit = defineCommand({
  meta: {
    name: "edit",
    description: "Replace the rule of a pending proposal",
    examples: ["openshell sandbox draft edit work 3f2a91c0 --file rule.yaml"],
  },
  args: {
    name: sandbox,
    id: chunk,
    file: {
      type: "string",
      alias: "f",
      required: true,
      valueHint: "FILE",
      description: "Policy YAML with one rule under network_policies; - is standard input",
    },
  },
  run: ({ args, ...choice }) => editChunk(args.name, args.id, args.file, choice),
});

const clear = defineCommand({
  meta: { name: "clear", description: "Clear all pending proposals", examples: ["openshell sandbox draft clear work"] },
  args: { name: optionalName, yes },
  run: ({ args, ...choice }) => clearChunks(args.name, args.yes ?? false, choice),
});

const history = defineCommand({
  meta: { name: "history", description: "Who decided what, when", examples: ["openshell sandbox draft history work"] },
  args: { name: optionalName, output: outputArg },
  run: ({ args, ...choice }) => showHistory(args.name, args.output, choice),
});

/** `sandbox draft …` */
export const draft: Command = defineCommand({
  meta: {
    name: "draft",
    description: "Proposals: what was denied, and the rule that would allow it",
    examples: [
      "openshell sandbox draft work",
      "openshell sandbox draft work --chunks -o json",
      "openshell sandbox draft approve work 3f2a91c0 --wait",
    ],
  },
  args: listArgs,
  subCommands: { approve, reject, undo, retry, edit, clear, history },
  run: ({ args, ...choice }) => runList(args, choice),
});

const chunkId = { type: "string", required: true, valueHint: "ID", description: "Chunk id, or a unique beginning of it" } as const;

/** `rule …`: the same actions with the flags of the published client. */
export const rule: Command = defineCommand({
  meta: {
    name: "rule",
    description: "Proposals, with the flags of earlier clients (see: sandbox draft)",
    examples: ["openshell rule get work --status pending"],
  },
  subCommands: {
    get: defineCommand({
      meta: { name: "get", description: "Show proposals", examples: ["openshell rule get work"] },
      args: listArgs,
      run: ({ args, ...choice }) => runList(args, choice),
    }),
    approve: defineCommand({
      meta: { name: "approve", description: "Approve a proposal", examples: ["openshell rule approve work --chunk-id 3f2a91c0"] },
      args: { name: optionalName, "chunk-id": chunkId, wait, timeout: waitTimeout, yes },
      run: ({ args, ...choice }) =>
        approveOne(
          args["chunk-id"],
          { sandbox: args.name, yes: args.yes ?? false, wait: args.wait ?? false, timeoutSeconds: args.timeout },
          choice,
        ),
    }),
    reject: defineCommand({
      meta: { name: "reject", description: "Reject a proposal", examples: ["openshell rule reject work --chunk-id 3f2a91c0 --reason no"] },
      args: { name: optionalName, "chunk-id": chunkId, reason: { type: "string", default: "", valueHint: "TEXT", description: "Why" } },
      run: ({ args, ...choice }) => rejectChunk(args.name, args["chunk-id"], args.reason, choice),
    }),
    "approve-all": defineCommand({
      meta: {
        name: "approve-all",
        description: "Approve every proposal without security notes",
        examples: ["openshell rule approve-all work --yes"],
      },
      args: {
        name: optionalName,
        "include-security-flagged": { type: "boolean", description: "Ask for flagged ones too, one by one" },
        wait,
        timeout: waitTimeout,
        yes,
      },
      run: ({ args, ...choice }) =>
        approveAll(
          args["include-security-flagged"] ?? false,
          { sandbox: args.name, yes: args.yes ?? false, wait: args.wait ?? false, timeoutSeconds: args.timeout },
          choice,
        ),
    }),
    clear,
    history,
  },
});
