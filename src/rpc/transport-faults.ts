import { ConnectError } from "@connectrpc/connect";
import { OpenShellError } from "../error.ts";

const CODES = new Set(["ECONNRESET", "ECONNREFUSED", "ECONNABORTED", "EPIPE", "ETIMEDOUT", "ENOTCONN"]);

/**
 * Whether a failure is only that a connection ended. The HTTP/2 client raises some of these where no caller can catch them: a stream that
 * is cut while nobody reads it, a ping on a session that is gone.
 */
export function isTransportFault(reason: unknown): boolean {
  if (reason instanceof ConnectError) return true;
  if (!(reason instanceof Error)) return false;
  const code = (reason as NodeJS.ErrnoException).code ?? "";
  return CODES.has(code) || code.startsWith("ERR_HTTP2_") || /session has been destroyed|stream.*destroyed/i.test(reason.message);
}

/**
 * Keeps this process alive when a peer goes away: the calls concerned fail for who made them, and a lost connection must not end what does
 * not need it. Anything else that nobody caught still ends the process, with one line.
 */
export function surviveTransportFaults(): void {
  const judge = (reason: unknown): void => {
    if (isTransportFault(reason)) return;
    const detail = reason instanceof Error ? (reason.stack ?? reason.message) : String(reason);
    process.stderr.write(`openshell: ${OpenShellError.from(reason).message}\n${detail}\n`);
    process.exit(1);
  };
  // A log on a full disk, or a reader of it that has gone, is no reason to stop enforcing.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  process.on("uncaughtException", judge);
  process.on("unhandledRejection", judge);
}
