import type { ByteSocket, Tunnel } from "../relay.ts";
import { nextTurn } from "../turns.ts";
import type { StreamInspector, StreamStep } from "./ruling.ts";
import type { Valve } from "./valve.ts";

/** A tunnel behind a change of protocol whose bytes somebody looks at before they pass. */
export class InspectedStream {
  readonly #inspector: StreamInspector;
  readonly #tunnel: Tunnel;
  readonly #client: Valve;
  #closed = false;
  /** What the client has sent that waits for its turn. */
  #waiting: Buffer[] | undefined;
  #clientFinished = false;

  /** `client`: by way of which the tunnel slows the client down as well, see `behind`. */
  constructor(inspector: StreamInspector, tunnel: Tunnel, client: Valve) {
    this.#inspector = inspector;
    this.#tunnel = tunnel;
    this.#client = client;
  }

  fromClient(bytes: Buffer): void {
    if (this.#closed) return;
    if (this.#waiting !== undefined) {
      this.#waiting.push(bytes);
      return;
    }
    const step = this.#inspector.fromClient(bytes);
    if (step.forward.length > 0) this.#tunnel.toUpstream(step.forward, step.owned);
    if (step.answer !== undefined) this.#tunnel.toClient(step.answer);
    this.#finish(step);
    if (step.rest !== undefined) this.#goOnLater(step.rest);
  }

  fromServer(bytes: Buffer): void {
    if (this.#closed) return;
    const step: StreamStep = this.#inspector.fromServer?.(bytes) ?? { forward: bytes };
    if (step.forward.length > 0) this.#tunnel.toClient(step.forward, step.owned);
    if (step.answer !== undefined) this.#tunnel.toUpstream(step.answer);
    this.#finish(step);
  }

  /** FIN of the client, behind what waits. */
  clientFinished(): void {
    this.#clientFinished = true;
    if (this.#waiting === undefined) this.#tunnel.clientFinished();
  }

  /** The client is gone, and nothing that it sent is looked at any more. */
  clientClosed(): void {
    this.#closed = true;
    this.#waiting = undefined;
  }

  /** Others have their turn first. */
  #goOnLater(rest: Buffer): void {
    if (this.#closed) return;
    this.#waiting = [rest];
    this.#client.hold();
    nextTurn(() => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (this.#closed || waiting === undefined) return;
      const [first] = waiting;
      this.fromClient(waiting.length === 1 && first !== undefined ? first : Buffer.concat(waiting));
      if (this.#waiting !== undefined) return;
      this.#client.release();
      if (this.#clientFinished) this.#tunnel.clientFinished();
    });
  }

  /** Both sides get their FIN behind what was written; neither is heard any more. */
  #finish({ close }: StreamStep): void {
    if (close !== true) return;
    this.#closed = true;
    this.#tunnel.clientFinished();
    this.#tunnel.upstreamFinished();
  }
}

/** The socket, slowed down by way of a valve: for more reasons than one. */
export function behind(valve: Valve, socket: ByteSocket): ByteSocket {
  return {
    write: (bytes) => socket.write(bytes),
    shutdown: () => socket.shutdown(),
    end: () => socket.end(),
    terminate: () => socket.terminate(),
    pause: () => valve.pause(),
    resume: () => valve.resume(),
  };
}
