const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** A text message of a client; it becomes text only where somebody reads it. */
export class TextMessage {
  /** Valid UTF-8. */
  readonly bytes: Buffer;
  #text: string | undefined;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get text(): string {
    this.#text ??= UTF8.decode(this.bytes);
    return this.#text;
  }
}
