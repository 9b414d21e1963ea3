import type { Gateway, GatewayChoice } from "../connection/gateway.ts";
import { execute } from "../sandbox/exec.ts";

/** What ssh answers when its connection was given up. */
const LEFT_EXIT_CODE = 255;

const [TILDE, DOT, RETURN, LINE_FEED] = [0x7e, 0x2e, 0x0d, 0x0a];

/** Keys for the program. As with ssh, `~.` at the beginning of a line leaves, and `~~` there is one `~`. */
export async function* withoutEscapes(keys: AsyncIterable<Uint8Array>, leave: () => void): AsyncGenerator<Uint8Array> {
  let lineBegins = true;
  let held = false;
  for await (const chunk of keys) {
    const kept: number[] = [];
    for (const key of chunk) {
      if (held && key === DOT) {
        if (kept.length > 0) yield Uint8Array.from(kept);
        leave();
        return;
      }
      if (!held && lineBegins && key === TILDE) {
        held = true;
        continue;
      }
      if (held && key !== TILDE) kept.push(TILDE);
      held = false;
      kept.push(key);
      lineBegins = key === RETURN || key === LINE_FEED;
    }
    if (kept.length > 0) yield Uint8Array.from(kept);
  }
  if (held) yield Uint8Array.of(TILDE);
}

/**
 * Joins this terminal to a sandbox's main process; its exit code when it ended meanwhile. Leaving (`~.`) does not end it.
 * @param stays who leaves can come back.
 */
export async function joinMain(gateway: Gateway, { terminal }: GatewayChoice, sandbox: string, stays: boolean): Promise<number> {
  const left = new AbortController();
  const { stdin } = terminal;
  const keys = {
    raw: (on: boolean) => stdin.raw(on),
    stop: () => stdin.stop(),
    [Symbol.asyncIterator]: () => withoutEscapes(stdin, () => left.abort()),
  };
  const join = { workspaceScope: gateway.scope, sandbox, mainProcess: true, tty: true, ...terminal.size() };
  try {
    return await execute(gateway, { payload: { case: "start", value: join } }, true, { ...terminal, stdin: keys }, left.signal);
  } catch (error) {
    if (!left.signal.aborted) throw error;
    terminal.err(`\nLeft '${sandbox}'${stays ? `, where it goes on: openshell sandbox connect ${sandbox} --main` : ""}\n`);
    return LEFT_EXIT_CODE;
  }
}
