/** RFC 9113 section 7. */
export const ErrorCode = {
  noError: 0x0,
  protocolError: 0x1,
  internalError: 0x2,
  flowControlError: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSizeError: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compressionError: 0x9,
  connectError: 0xa,
  enhanceYourCalm: 0xb,
  inadequateSecurity: 0xc,
  http11Required: 0xd,
} as const;

/** Ends the connection (RFC 9113 section 5.4.1). Never leaves this folder. */
export class ConnectionError extends Error {
  readonly code: number;

  constructor(code: number, reason: string) {
    super(reason);
    this.code = code;
  }
}

/** Ends one stream (RFC 9113 section 5.4.2). Never leaves this folder. */
export class StreamError extends Error {
  readonly stream: number;
  readonly code: number;

  constructor(stream: number, code: number, reason: string) {
    super(reason);
    this.stream = stream;
    this.code = code;
  }
}
