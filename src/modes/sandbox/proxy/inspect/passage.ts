import type { OriginRequest } from "../http1/origin-request.ts";
import { type ByteSocket, Tunnel } from "../relay.ts";
import type { ConnectionEnds } from "./connection-ends.ts";
import type { Gate } from "./gate.ts";
import { behind, InspectedStream } from "./inspected-stream.ts";
import type { StreamInspector } from "./ruling.ts";

/** A change of protocol that a request asked for and a server agreed to. */
export interface Upgrade {
  readonly request: OriginRequest;
  readonly gate: Gate;
  /** Sees what passes; undefined: it passes unread. */
  readonly inspector: StreamInspector | undefined;
}

/** Bytes that pass between client and server without being requests. */
export class Passage {
  readonly #tunnel: Tunnel;
  readonly #upgrade: Upgrade | undefined;
  readonly #stream: InspectedStream | undefined;

  /** `upgrade`: behind requests, with what is still on its way of those. */
  constructor(ends: ConnectionEnds, server: ByteSocket, owner: { tunnelEnded(): void }, upgrade?: Upgrade) {
    this.#tunnel =
      upgrade === undefined
        ? new Tunnel(ends.client, server, owner, undefined, ends.kernelEnds)
        : new Tunnel(behind(ends.clientValve, ends.client), server, owner, ends.flows);
    this.#upgrade = upgrade;
    if (upgrade?.inspector !== undefined) this.#stream = new InspectedStream(upgrade.inspector, this.#tunnel, ends.clientValve);
  }

  fromClient(bytes: Buffer): void {
    if (this.#stream !== undefined) this.#stream.fromClient(bytes);
    else this.#tunnel.toUpstream(bytes);
  }

  fromServer(bytes: Buffer): void {
    if (this.#stream !== undefined) this.#stream.fromServer(bytes);
    else this.#tunnel.toClient(bytes);
  }

  clientDrained(): void {
    this.#tunnel.clientDrained();
  }

  upstreamDrained(): void {
    this.#tunnel.upstreamDrained();
  }

  clientFinished(): void {
    (this.#stream ?? this.#tunnel).clientFinished();
  }

  upstreamFinished(): void {
    this.#tunnel.upstreamFinished();
  }

  clientClosed(error: Error | undefined): void {
    this.#upgrade?.inspector?.ended?.();
    this.#stream?.clientClosed();
    this.#tunnel.clientClosed(error);
  }

  upstreamClosed(error: Error | undefined): void {
    this.#tunnel.upstreamClosed(error);
  }

  /** Whether it may go on under a new policy as far as the upgrade tells; undefined: there was none. */
  stillAllowed(): boolean | undefined {
    if (this.#upgrade === undefined) return undefined;
    const { request, gate, inspector } = this.#upgrade;
    return inspector?.stillAllowed?.() ?? gate.stillAllowed(request);
  }
}
