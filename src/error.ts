/** The gRPC status names that OpenShell uses; one vocabulary for the API, the CLI and the log. */
export type ErrorCode =
  | "invalid_argument"
  | "not_found"
  | "already_exists"
  | "failed_precondition"
  | "permission_denied"
  | "unauthenticated"
  | "resource_exhausted"
  | "aborted"
  | "out_of_range"
  | "deadline_exceeded"
  | "unavailable"
  | "unimplemented"
  | "internal";

/** One violation of an input: which field, where, and what was expected. */
export interface Violation {
  /** Path of the field, as a person wrote it: `network_policies.github.endpoints[0].port`. */
  readonly field: string;
  readonly message: string;
  /** 1-based position in the source text, when there is one. */
  readonly line?: number;
  readonly column?: number;
}

export interface ErrorOptions {
  /** What the person can do next, as a command or a sentence. */
  readonly next?: string;
  /** Kept for logs, never sent over the wire. */
  readonly cause?: unknown;
  readonly violations?: readonly Violation[];
}

/** The one error class: a code for programs, a message and a next step for people. */
export class OpenShellError extends Error {
  readonly code: ErrorCode;
  readonly next: string | undefined;
  readonly violations: readonly Violation[];

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "OpenShellError";
    this.code = code;
    this.next = options.next;
    this.violations = options.violations ?? [];
  }

  /** Normalises anything thrown; what is not ours becomes `internal` and keeps its origin as the cause. */
  static from(reason: unknown): OpenShellError {
    if (reason instanceof OpenShellError) return reason;
    const message = reason instanceof Error ? reason.message : String(reason);
    return new OpenShellError("internal", message, { cause: reason });
  }
}
