import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorCode, OpenShellError, type Violation } from "../error.ts";
import { storageError } from "../storage-error.ts";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.ts";

/** Who defines the reasons in our ErrorInfo details. */
const DOMAIN = "openshell";

const toCode: Record<ErrorCode, Code> = {
  invalid_argument: Code.InvalidArgument,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  failed_precondition: Code.FailedPrecondition,
  permission_denied: Code.PermissionDenied,
  unauthenticated: Code.Unauthenticated,
  resource_exhausted: Code.ResourceExhausted,
  aborted: Code.Aborted,
  out_of_range: Code.OutOfRange,
  deadline_exceeded: Code.DeadlineExceeded,
  unavailable: Code.Unavailable,
  unimplemented: Code.Unimplemented,
  internal: Code.Internal,
};

const fromCode = new Map<Code, ErrorCode>([
  ...Object.entries(toCode).map(([name, code]) => [code, name as ErrorCode] as const),
  // A cancelled call has no word of its own in our vocabulary; for a person it was given up.
  [Code.Canceled, "aborted"],
  [Code.DataLoss, "internal"],
  [Code.Unknown, "internal"],
]);

/**
 * What a caller may see of anything thrown: our own errors keep code, message, next step and violations; everything else becomes
 * `internal` with a fixed sentence, and `logInternal` gets the original.
 */
export function toConnectError(reason: unknown, logInternal: (reason: unknown) => void): ConnectError {
  if (reason instanceof ConnectError) return reason;
  // Nobody is there to read the answer, and nothing is wrong with us.
  if (isLostStream(reason)) return new ConnectError("the caller's connection ended", Code.Canceled);
  const storage = storageError(reason);
  if (storage !== undefined) {
    logInternal(reason);
    return toConnectError(storage, logInternal);
  }
  if (!(reason instanceof OpenShellError) || reason.code === "internal") {
    logInternal(reason);
    return new ConnectError("internal error; the gateway's log has the details", Code.Internal);
  }
  const details = [];
  if (reason.next !== undefined) {
    details.push({ desc: ErrorInfoSchema, value: { reason: reason.code.toUpperCase(), domain: DOMAIN, metadata: { next: reason.next } } });
  }
  if (reason.violations.length > 0) {
    details.push({ desc: BadRequestSchema, value: { fieldViolations: reason.violations.map(fieldViolation) } });
  }
  return new ConnectError(reason.message, toCode[reason.code], undefined, details, reason);
}

/** What the HTTP/2 client says when the other side has gone in the middle of a call. */
const LOST_CONNECTION =
  /^(http\/2 (stream|session|connection) closed|read ECONNRESET|write EPIPE|socket hang up)|(session|stream) has been destroyed/i;

/** What the HTTP/2 server throws to whoever still reads or writes a stream that its peer has left. */
function isLostStream(reason: unknown): boolean {
  if (!(reason instanceof Error)) return false;
  const code = String((reason as NodeJS.ErrnoException).code ?? "");
  return (
    code.startsWith("ERR_HTTP2_") ||
    code === "ERR_STREAM_DESTROYED" ||
    code === "ERR_STREAM_PREMATURE_CLOSE" ||
    /(session|stream) has been destroyed/i.test(reason.message)
  );
}

/** The other direction, for clients: a status of the gateway, or a failure to reach it, as our own error. */
export function fromConnectError(reason: unknown): OpenShellError {
  if (reason instanceof OpenShellError) return reason;
  const error = ConnectError.from(reason);
  if (LOST_CONNECTION.test(error.rawMessage)) {
    return new OpenShellError("unavailable", "the connection to the gateway was lost", { cause: reason, next: "openshell status" });
  }
  const next = error.findDetails(ErrorInfoSchema).find((info) => info.domain === DOMAIN)?.metadata["next"];
  const violations = error.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations.map(violation));
  return new OpenShellError(fromCode.get(error.code) ?? "internal", error.rawMessage, {
    cause: reason,
    violations,
    ...(next === undefined ? {} : { next }),
  });
}

/** The published detail has no line and column; whoever parsed the text has them, the wire needs only the field. */
function fieldViolation(v: Violation): { field: string; description: string } {
  return { field: v.field, description: v.message };
}

function violation(v: { field: string; description: string }): Violation {
  return { field: v.field, message: v.description };
}
