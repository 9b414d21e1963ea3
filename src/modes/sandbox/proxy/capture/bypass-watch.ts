import { OpenShellError } from "../../../../error.ts";
import type { EventSink, NetworkEvent } from "../../../../events/event.ts";
import { type PacketEnds, parsePacket } from "../../../../linux/bpf/packet.ts";
import { SNAPSHOT_BYTES } from "../../../../linux/bpf/packet-filter.ts";
import { droppedPackets, receivePacket } from "../../../../linux/bpf/packet-socket.ts";
import type { BoxWatch, SocketAddress } from "../../box/contract.ts";
import { type Attempt, Attempts } from "./attempts.ts";
import { hintFor } from "./hints.ts";

/** How often the sockets are looked at; nobody waits for these events. */
const LOOK_INTERVAL_MS = 250;
/** Packets of one kind per look: with two kinds and four looks at most 96 a second, whatever the kernel's queue holds. */
const PACKETS_PER_LOOK = 12;
/** How often the rest is told, as a number. */
const OVERFLOW_INTERVAL_MS = 10_000;

export interface BypassWatchOptions {
  readonly sockets: BoxWatch;
  /** Accepted connections are reported by others. Without capture none is, and every opening packet is an event at once. */
  readonly capturing: boolean;
  readonly emit: EventSink;
  /** The name that an address stands for. */
  readonly nameOf?: (address: string) => string | undefined;
}

/** Turns attempts to leave past the proxy that no connection stands for into events: all UDP, and TCP that was not accepted. */
export class BypassWatch implements Disposable {
  readonly #options: BypassWatchOptions;
  readonly #attempts = new Attempts();
  readonly #buffer = Buffer.alloc(SNAPSHOT_BYTES);
  readonly #timer: ReturnType<typeof setInterval>;
  #unseen = { tcp: 0, udp: 0 };
  #overflowToldAt = Number.NEGATIVE_INFINITY;

  constructor(options: BypassWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#lookSafely(), LOOK_INTERVAL_MS);
    this.#timer.unref();
  }

  /** A captured connection was accepted: it is reported with its program. */
  accepted(peer: SocketAddress, local: SocketAddress): void {
    this.#attempts.accepted(peer, local, performance.now());
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** What cannot be read is not seen any more; it stays refused, and nothing else depends on it. */
  #lookSafely(): void {
    try {
      this.#look();
    } catch (reason) {
      this[Symbol.dispose]();
      this.#options.emit({
        kind: "finding",
        time: Date.now(),
        severity: "medium",
        id: "bypass-watch-failed",
        title: "Attempts past the proxy are no longer seen; they stay refused",
        evidence: { reason: OpenShellError.from(reason).message },
        remediation: "recreate the sandbox to see them again",
      });
    }
  }

  #look(): void {
    const now = performance.now();
    const { sockets, capturing } = this.#options;
    this.#drain(sockets.tcp, "tcp", (attempt) => {
      if (capturing) this.#attempts.opened(attempt, now);
      else this.#report("tcp", attempt);
    });
    for (const attempt of this.#attempts.unreported(now)) this.#report("tcp", attempt);
    this.#drain(sockets.udp, "udp", (attempt) => this.#report("udp", attempt));
    if (now - this.#overflowToldAt >= OVERFLOW_INTERVAL_MS) this.#tellOverflow(now);
  }

  #drain(socket: number, protocol: "tcp" | "udp", use: (attempt: Attempt) => void): void {
    for (let count = 0; ; count++) {
      const size = receivePacket(socket, this.#buffer);
      if (size === undefined) break;
      const packet: PacketEnds | undefined = parsePacket(this.#buffer.subarray(0, size));
      if (packet === undefined || count >= PACKETS_PER_LOOK) this.#unseen[protocol]++;
      else use(packet);
    }
    this.#unseen[protocol] += droppedPackets(socket);
  }

  #report(protocol: "tcp" | "udp", { destination }: Attempt): void {
    const what = protocol === "udp" ? "no UDP leaves the sandbox" : "direct connection past the proxy, not accepted";
    this.#options.emit({
      kind: "network",
      time: Date.now(),
      severity: "medium",
      activity: "refuse",
      action: "denied",
      host: this.#options.nameOf?.(destination.address) ?? destination.address,
      port: destination.port,
      protocol,
      address: destination.address,
      engine: "bypass",
      code: protocol === "udp" ? "udp_refused" : "direct_connection_refused",
      reason: `${what}; ${hintFor(protocol, destination.port)}`,
      stage: "bypass",
    } satisfies NetworkEvent);
  }

  #tellOverflow(now: number): void {
    const tcp = Math.max(0, this.#unseen.tcp - this.#attempts.takeUnmatched());
    const { udp } = this.#unseen;
    this.#unseen = { tcp: 0, udp: 0 };
    if (tcp === 0 && udp === 0) return;
    this.#overflowToldAt = now;
    this.#options.emit({
      kind: "finding",
      time: Date.now(),
      severity: "medium",
      id: "bypass-overflow",
      title: "More attempts past the proxy than are shown",
      evidence: { tcp: String(tcp), udp: String(udp) },
      remediation: "look for a program that scans or floods the network",
    });
  }
}
