import type { Tunnel } from "../relay.ts";
import type { StreamInspector, StreamStep } from "./ruling.ts";

/** A tunnel behind a change of protocol whose bytes somebody looks at before they pass. */
export class InspectedStream {
  readonly #inspector: StreamInspector;
  readonly #tunnel: Tunnel;
  #closed = false;

  constructor(inspector: StreamInspector, tunnel: Tunnel) {
    this.#inspector = inspector;
    this.#tunnel = tunnel;
  }

  fromClient(bytes: Buffer): void {
    if (this.#closed) return;
    const step = this.#inspector.fromClient(bytes);
    if (step.forward.length > 0) this.#tunnel.toUpstream(step.forward);
    if (step.answer !== undefined) this.#tunnel.toClient(step.answer);
    this.#finish(step);
  }

  fromServer(bytes: Buffer): void {
    if (this.#closed) return;
    const step = this.#inspector.fromServer?.(bytes) ?? { forward: bytes };
    if (step.forward.length > 0) this.#tunnel.toClient(step.forward);
    if (step.answer !== undefined) this.#tunnel.toUpstream(step.answer);
    this.#finish(step);
  }

  /** Both sides get their FIN behind what was written; neither is heard any more. */
  #finish({ close }: StreamStep): void {
    if (close !== true) return;
    this.#closed = true;
    this.#tunnel.clientFinished();
    this.#tunnel.upstreamFinished();
  }
}
