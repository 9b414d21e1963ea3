/** Machine code of a request that is refused because of a placeholder in it. */
export type CredentialCode =
  /** It names no credential of this sandbox. */
  | "credential_unknown"
  /** It stands where its provider expects none, or in a spelling that is not replaced. */
  | "credential_misplaced"
  /** Its provider has nothing to do with this server or path. */
  | "credential_endpoint_mismatch"
  /** The server is not reached over verified TLS. */
  | "credential_insecure"
  | "credential_expired"
  /** Behind an upgrade answers could not be masked, as the policy says they must be. */
  | "credential_upgrade"
  /** The secret cannot be sent: control characters, a slash where a path segment is expected. */
  | "credential_unusable"
  /** The request cannot be signed again. */
  | "credential_signing"
  /** A body of a kind or size that placeholders are not replaced in, where they should be. */
  | "credential_body";

/** A request that must not be sent; its text has nothing secret in it. */
export class CredentialRefused extends Error {
  readonly code: CredentialCode;
  readonly status: 403 | 413;

  constructor(code: CredentialCode, reason: string, status: 403 | 413 = 403) {
    super(reason);
    this.code = code;
    this.status = status;
  }
}
