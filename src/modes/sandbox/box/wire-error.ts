import { type ErrorCode, OpenShellError } from "../../../error.ts";

/** An error on its way from a helper process to the supervisor. */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly next?: string;
}

/** Code, message and next step of anything thrown; the stack stays behind. */
export function toWireError(reason: unknown): WireError {
  const error = OpenShellError.from(reason);
  return { code: error.code, message: error.message, ...(error.next === undefined ? {} : { next: error.next }) };
}

export function fromWireError(error: WireError): OpenShellError {
  return new OpenShellError(error.code, error.message, error.next === undefined ? {} : { next: error.next });
}
