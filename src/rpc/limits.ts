/** Sizes of messages, enforced by the gateway and respected by our own clients. */

/** One request: 1 MiB, as the published gateway; a policy (256 KiB) fits four times. */
export const MAX_REQUEST_BYTES = 1024 * 1024;

/** ExecSandbox and ExecSandboxInteractive: 4 MiB of one-shot stdin (the CLI's cap) and its command line. */
export const MAX_EXEC_REQUEST_BYTES = 5 * 1024 * 1024;

/** One answer: published clients stop reading at 4 MiB, envelope included. */
export const MAX_RESPONSE_BYTES = 3 * 1024 * 1024;

/** Bytes of one stdin or output frame; small enough that a slow reader holds little, large enough that framing costs nothing. */
export const MAX_CHUNK_BYTES = 64 * 1024;
