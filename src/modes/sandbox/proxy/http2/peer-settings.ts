import { ConnectionError, ErrorCode } from "./errors.ts";
import { DEFAULT_WINDOW, MAX_FRAME_BYTES, MAX_WINDOW, Setting } from "./frames.ts";

/** Streams that are opened before the peer has said how many it takes (RFC 9113 section 6.5.2 recommends that it takes 100). */
const ASSUMED_STREAMS = 100;
const MAX_FRAME_SIZE = 16_777_215;

/** What the peer has asked for, as far as it concerns what we send. */
export class PeerSettings {
  maxConcurrentStreams: number = ASSUMED_STREAMS;
  initialWindow: number = DEFAULT_WINDOW;

  /** Takes one SETTINGS payload; gives by how much the window of every stream changes. `peer`: who sent it. Throws ConnectionError. */
  apply(payload: Buffer, peer: "client" | "server"): number {
    if (payload.length % 6 !== 0) throw new ConnectionError(ErrorCode.frameSizeError, "SETTINGS of an impossible length");
    const before = this.initialWindow;
    for (let at = 0; at < payload.length; at += 6) this.#one(payload.readUInt16BE(at), payload.readUInt32BE(at + 2), peer);
    return this.initialWindow - before;
  }

  #one(id: number, value: number, peer: "client" | "server"): void {
    if (id === Setting.enablePush && value > (peer === "client" ? 1 : 0))
      throw new ConnectionError(ErrorCode.protocolError, `SETTINGS_ENABLE_PUSH of ${value}`);
    if (id === Setting.maxFrameSize && (value < MAX_FRAME_BYTES || value > MAX_FRAME_SIZE))
      throw new ConnectionError(ErrorCode.protocolError, `SETTINGS_MAX_FRAME_SIZE of ${value}`);
    if (id === Setting.initialWindowSize) {
      if (value > MAX_WINDOW) throw new ConnectionError(ErrorCode.flowControlError, `SETTINGS_INITIAL_WINDOW_SIZE of ${value}`);
      this.initialWindow = value;
    }
    if (id === Setting.maxConcurrentStreams) this.maxConcurrentStreams = value;
  }
}
