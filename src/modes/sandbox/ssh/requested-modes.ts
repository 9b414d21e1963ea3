import type { Connection } from "ssh2";
import type { TerminalModes } from "../../../linux/terminal-modes.ts";

/** SSH_MSG_CHANNEL_REQUEST (RFC 4254, section 5.4). */
const CHANNEL_REQUEST = 98;
/** Ends the settings; numbers from 160 on are not defined, and end them too (section 8). */
const END = 0;
const FIRST_UNDEFINED = 160;

/** A list is not longer than there are numbers. */
const MAX_MODES = FIRST_UNDEFINED;

/** What the library has inside: every decrypted message goes through this. */
interface Inside {
  readonly _protocol?: { _onPayload?: (payload: Buffer) => unknown };
}

/**
 * The terminal settings of the request that is being handled: the library reads them wrongly and throws them away, so they are read here
 * before it. Call the answer inside a listener for `pty`.
 */
export function requestedModes(connection: Connection): () => TerminalModes {
  const protocol = (connection as unknown as Inside)._protocol;
  const handle = protocol?._onPayload;
  let modes: TerminalModes = {};
  if (protocol === undefined || handle === undefined) return () => modes;
  // Taken up when the first keys are in use; nothing asks for a terminal before.
  protocol._onPayload = (payload) => {
    modes = payload[0] === CHANNEL_REQUEST ? readTerminalRequest(payload) : {};
    return handle(payload);
  };
  return () => modes;
}

/** The settings in a `pty-req`; none in any other request, or in one that is cut short. */
export function readTerminalRequest(payload: Buffer): TerminalModes {
  const modes: Record<number, number> = {};
  try {
    let at = 5; // the type and the channel
    const text = (): Buffer => {
      const start = at + 4;
      at = start + payload.readUInt32BE(at);
      return payload.subarray(start, at);
    };
    if (text().toString("latin1") !== "pty-req") return modes;
    at += 1; // whether an answer is wanted
    text(); // name of the terminal
    at += 16; // its size, twice
    const list = text();
    for (let entry = 0, offset = 0; entry < MAX_MODES && offset < list.length; entry++, offset += 5) {
      const opcode = list[offset] ?? END;
      if (opcode === END || opcode >= FIRST_UNDEFINED) break;
      modes[opcode] = list.readUInt32BE(offset + 1);
    }
  } catch {
    // Cut short: what was whole counts.
  }
  return modes;
}
