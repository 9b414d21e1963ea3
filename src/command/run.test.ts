import { describe, expect, test } from "bun:test";
import { OpenShellError } from "../error.ts";
import { type Command, defineCommand, lazyCommand } from "./define.ts";
import { reportError } from "./report.ts";
import { runCommand } from "./run.ts";
import { bufferTerminal } from "./terminal.fixture.ts";

const record = (name: string) => (context: { args: unknown }) => {
  seen.push([name, context.args]);
  return undefined;
};
let seen: [string, unknown][] = [];

const approve = defineCommand({
  meta: { name: "approve", description: "Approve one chunk", examples: ["tool box draft approve work 3f"] },
  args: {
    name: { type: "positional", description: "Sandbox" },
    id: { type: "positional", description: "Chunk" },
    wait: { type: "boolean" },
    count: { type: "string", integer: { min: 1, max: 10, default: 3 }, valueHint: "N" },
  },
  run: record("approve"),
});
const draft = defineCommand({
  meta: { name: "draft", description: "Proposals" },
  args: {
    name: { type: "positional", required: false },
    output: { type: "enum", alias: "o", options: ["table", "json"], default: "table" },
  },
  subCommands: { approve: lazyCommand({ description: "Approve one chunk", alias: "ok" }, async () => approve) },
  run: record("draft"),
});
const exec = defineCommand({
  meta: { description: "Run a command inside" },
  args: {
    name: { type: "string", alias: "n" },
    label: { type: "string", multiple: true },
    tty: { type: "boolean", negativeDescription: "never a terminal" },
    command: { type: "positional", multiple: true, terminator: "implied" },
  },
  run: record("exec"),
});
const create = defineCommand({
  meta: { description: "Create" },
  args: {
    name: { type: "string" },
    policy: { type: "string", env: "TOOL_POLICY", valueHint: "FILE" },
    command: { type: "positional", multiple: true, required: false, terminator: "required" },
  },
  run: record("create"),
});
const fail = defineCommand({
  meta: { description: "Fails" },
  run: () => {
    throw new OpenShellError("invalid_argument", "policy file has 1 mistake\x1b[2J", {
      next: "fix it",
      violations: [{ field: "network_policies.a.endpoints[0].port", message: "expected 1 to 65535", line: 4, column: 9 }],
    });
  },
});
const root: Command = defineCommand({
  meta: { name: "tool", description: "A tool" },
  args: { gateway: { type: "string", alias: "g", env: "TOOL_GATEWAY" }, version: { type: "boolean", local: true } },
  subCommands: {
    box: lazyCommand({ description: "Boxes", alias: "b" }, async () =>
      defineCommand({
        meta: { description: "Boxes" },
        subCommands: {
          draft,
          exec,
          create,
          fail,
          crash: defineCommand({
            meta: { description: "x" },
            run: () => {
              throw new TypeError("boom");
            },
          }),
          seven: defineCommand({ meta: { description: "7" }, run: () => 7 }),
        },
      }),
    ),
  },
});

async function play(line: string | string[], env: Record<string, string> = {}) {
  seen = [];
  const terminal = bufferTerminal({ env });
  const code = await runCommand(root, "tool", typeof line === "string" ? line.split(" ").filter(Boolean) : line, terminal);
  return {
    code,
    ran: seen[0]?.[0],
    args: seen[0]?.[1] as Record<string, unknown>,
    runs: seen.length,
    out: terminal.stdout(),
    err: terminal.stderr(),
  };
}

describe("what runs, with which values", () => {
  const cases: [string, string, Record<string, unknown>][] = [
    ["box draft work", "draft", { name: "work", output: "table" }],
    ["box draft", "draft", { output: "table" }],
    ["b draft -o json work", "draft", { name: "work", output: "json" }],
    ["box draft work --output=json -g east", "draft", { name: "work", output: "json", gateway: "east" }],
    ["box draft approve work 3f", "approve", { name: "work", id: "3f", count: 3 }],
    ["box draft ok work 3f --wait --count 10", "approve", { name: "work", id: "3f", wait: true, count: 10 }],
    ["-g east box draft approve work 3f", "approve", { gateway: "east", id: "3f" }],
    ["--gateway box box draft approve work 3f", "approve", { gateway: "box" }],
    [
      "box exec -n work --label a=1 --label b=2 -- ls -l --help",
      "exec",
      { name: "work", label: ["a=1", "b=2"], command: ["ls", "-l", "--help"] },
    ],
    ["box exec -nwork ls -n 5 -- x", "exec", { name: "work", command: ["ls", "-n", "5", "--", "x"] }],
    ["box exec --no-tty ls", "exec", { tty: false, command: ["ls"] }],
    ["box exec --tty ls", "exec", { tty: true }],
    ["box create --name n -- sleep --name 5", "create", { name: "n", command: ["sleep", "--name", "5"] }],
    ["box create", "create", { command: [] }],
    ["box draft -- approve", "draft", { name: "approve" }],
  ];
  for (const [line, ran, args] of cases) {
    test(line, async () => {
      const result = await play(line);
      expect(result.err).toBe("");
      expect([result.code, result.ran, result.runs]).toEqual([0, ran, 1]);
      expect(result.args).toMatchObject(args);
    });
  }

  test("a variable stands in for an absent flag, an empty one does not", async () => {
    expect((await play("box create", { TOOL_POLICY: "p.yaml" })).args["policy"]).toBe("p.yaml");
    expect((await play("box create --policy q.yaml", { TOOL_POLICY: "p.yaml" })).args["policy"]).toBe("q.yaml");
    expect((await play("box create", { TOOL_POLICY: "" })).args["policy"]).toBeUndefined();
  });

  test("a number from run is the exit code", async () => expect((await play("box seven")).code).toBe(7));
});

describe("wrong input exits 2 and says what is right", () => {
  const cases: [string, RegExp][] = [
    ["bx draft", /unknown command 'bx'[\s\S]*did you mean 'tool box'/],
    ["box drft work", /unknown command 'drft'[\s\S]*did you mean 'tool box draft'/],
    ["box draft work --outptu json", /unknown flag '--outptu'[\s\S]*--output/],
    ["box draft work --zzzzzzzz", /unknown flag '--zzzzzzzz'[\s\S]*tool box draft --help/],
    ["box draft work -o", /'-o' needs a value/],
    ["box draft work -o xml", /expected one of table, json/],
    ["box draft work -o json -o json", /given 2 times/],
    ["box draft one two", /unexpected argument 'two'/],
    ["box draft approve work", /argument ID is missing/],
    ["box draft approve work 3f --wait=yes", /'--wait' takes no value/],
    ["box draft approve work 3f --count 11", /'11', expected a whole number from 1 to 10/],
    ["box draft approve work 3f --count 1.5", /from 1 to 10/],
    ["box exec --tty --no-tty ls", /exclude each other/],
    ["box exec", /argument COMMAND is missing/],
    ["box create work", /unexpected argument 'work'[\s\S]*goes after '--'/],
    ["box create --policy --name x", /'--policy' needs a value \(FILE\)/],
    ["box create --version", /unknown flag '--version'/],
  ];
  for (const [line, message] of cases) {
    test(line, async () => {
      const result = await play(line);
      expect([result.code, result.runs]).toEqual([2, 0]);
      expect(result.err).toMatch(message);
    });
  }
});

describe("errors", () => {
  test("violations tell field, line, column; control bytes are escaped", async () => {
    const { code, err } = await play("box fail");
    expect(code).toBe(2);
    expect(err).toBe(
      "Error: policy file has 1 mistake\\x1b[2J\n  network_policies.a.endpoints[0].port (line 4, column 9): expected 1 to 65535\nNext: fix it\n",
    );
  });
  test("a single violation that is the message is told once", () => {
    const terminal = bufferTerminal({});
    const violations = [{ field: "port", message: "expected 1 to 65535" }];
    reportError(new OpenShellError("invalid_argument", "port: expected 1 to 65535", { violations }), terminal);
    expect(terminal.stderr()).toBe("Error: port: expected 1 to 65535\n");
  });
  test("a bug of ours is one line and exit 1, never a stack", async () => {
    const { code, err } = await play("box crash");
    expect([code, err]).toEqual([1, "Error: boom\n"]);
    expect((await play("box crash", { OPENSHELL_DEBUG: "1" })).err).toContain("Cause: TypeError: boom");
  });
});

describe("help", () => {
  test("root lists commands without loading them", async () => {
    const lazy = lazyCommand({ description: "Never loaded" }, () => Promise.reject(new Error("loaded")));
    const terminal = bufferTerminal({});
    expect(await runCommand(defineCommand({ meta: { description: "d" }, subCommands: { lazy } }), "tool", ["--help"], terminal)).toBe(0);
    expect(terminal.stdout()).toContain("lazy  Never loaded");
  });
  test("a command shows usage, flags and examples", async () => {
    const { code, out } = await play("box draft approve --help");
    expect(code).toBe(0);
    expect(out).toBe(`Approve one chunk

Usage:
  tool box draft approve [FLAGS] NAME ID

Arguments:
  NAME  Sandbox
  ID    Chunk

Flags:
  --wait
  --count N  (default: 3)

Global flags:
  -g, --gateway GATEWAY  (env: TOOL_GATEWAY)
  -h, --help             Show this help

Examples:
  tool box draft approve work 3f
`);
  });
  test("a command that needs a subcommand prints its help and exits 2", async () => {
    const { code, out, err } = await play("box");
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain("Commands:\n  draft");
  });
});
