import { constants } from "node:os";
import type { Terminal } from "../../../command/terminal.ts";
import type { Gateway } from "../connection/gateway.ts";
import { execute } from "./exec.ts";

/** The main process without a terminal: its output is ours, it reads what we read, and its exit code is the answer. */
export function followMain(sandbox: string, gateway: Gateway, terminal: Terminal): Promise<number> {
  const join = { workspaceScope: gateway.scope, sandbox, mainProcess: true } as const;
  return execute(gateway, { payload: { case: "start", value: join } }, false, terminal);
}

/** When somebody ends us, or closes our terminal: calls `before`, and exits with 128 + signal whatever comes of it. */
export function beforeInterrupt(before: () => Promise<unknown> | undefined): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    const exit = () => process.exit(128 + constants.signals[signal]);
    process.once(signal, () => void Promise.resolve().then(before).then(exit, exit));
  }
}
