import type { Socket } from "bun";
import { OpenShellError } from "../../../../error.ts";
import type { EventSink, NetworkEvent } from "../../../../events/event.ts";
import { type PacketEnds, parsePacket } from "../../../../linux/bpf/packet.ts";
import { SNAPSHOT_BYTES } from "../../../../linux/bpf/packet-filter.ts";
import { droppedPackets, receivePacket } from "../../../../linux/bpf/packet-socket.ts";
import { duplicate } from "../../../../linux/descriptors.ts";
import type { BoxWatch, SocketAddress } from "../../box/contract.ts";
import { type Attempt, Attempts } from "./attempts.ts";
import { hintFor } from "./hints.ts";

/** How often the sockets are looked at once something has arrived; nobody waits for these events. */
const LOOK_INTERVAL_MS = 250;
/** Looks that find nothing before the first packet is waited for again: a program that tries once tries again. */
const EMPTY_LOOKS = 8;
/** Packets of one kind per look: with two kinds and four looks at most 96 a second, whatever the kernel's queue holds. */
const PACKETS_PER_LOOK = 12;
/** How often the rest is told, as a number. */
const OVERFLOW_INTERVAL_MS = 10_000;

type Protocol = "tcp" | "udp";

export interface BypassWatchOptions {
  readonly sockets: BoxWatch;
  /** Accepted connections are reported by others. Without capture none is, and every opening packet is an event at once. */
  readonly capturing: boolean;
  readonly emit: EventSink;
  /** The name that an address stands for. */
  readonly nameOf?: (address: string) => string | undefined;
}

/**
 * Turns attempts to leave past the proxy that no connection stands for into events: all UDP, and TCP that was not accepted. A sandbox in which
 * nothing is attempted costs nothing: the first packet begins the looks, and they end when nothing comes any more.
 */
export class BypassWatch implements Disposable {
  readonly #options: BypassWatchOptions;
  readonly #attempts = new Attempts();
  readonly #buffer = Buffer.alloc(SNAPSHOT_BYTES);
  readonly #arrivals: Socket[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #emptyLooks = 0;
  #ended = false;
  /** Packets since the last look. */
  readonly #taken = { tcp: 0, udp: 0 };
  #unseen = { tcp: 0, udp: 0 };
  #overflowToldAt = Number.NEGATIVE_INFINITY;

  constructor(options: BypassWatchOptions) {
    this.#options = options;
    this.#waitFor("tcp");
    this.#waitFor("udp");
  }

  /** A captured connection was accepted: it is reported with its program. */
  accepted(peer: SocketAddress, local: SocketAddress): void {
    this.#attempts.accepted(peer, local, performance.now());
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    clearInterval(this.#timer);
    for (const socket of this.#arrivals) socket.terminate();
  }

  /** The runtime waits for the first packet, by a descriptor of its own; those after it are read from the queue, look by look. */
  #waitFor(protocol: Protocol): void {
    // `fd` adopts any socket that can be read and closes it in the end; it works for packets too, and is not in the types.
    const adopted = { fd: duplicate(this.#options.sockets[protocol]) } as unknown as { hostname: string; port: number };
    const failed = (reason: unknown): void => this.#failed(reason);
    Bun.connect({
      ...adopted,
      socket: {
        open: (socket) => {
          this.#arrivals.push(socket);
          socket.unref();
          if (this.#ended) socket.terminate();
          else if (this.#timer !== undefined) socket.pause();
        },
        data: (_, packet) => this.#safely(() => this.#arrived(protocol, packet)),
        close: () => failed("a socket was closed"),
        error: (_, error) => failed(error),
      },
    }).catch(failed);
  }

  #arrived(protocol: Protocol, packet: Buffer): void {
    if (this.#ended) return;
    this.#take(protocol, packet, performance.now());
    this.#emptyLooks = 0;
    if (this.#timer !== undefined) return;
    for (const socket of this.#arrivals) socket.pause();
    this.#timer = setInterval(() => this.#safely(() => this.#look()), LOOK_INTERVAL_MS);
    this.#timer.unref();
  }

  /** Nothing has come for a while, and nothing is left to be told. */
  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#emptyLooks = 0;
    for (const socket of this.#arrivals) socket.resume();
  }

  /** What cannot be read is not seen any more; it stays refused, and nothing else depends on it. */
  #safely(step: () => void): void {
    try {
      step();
    } catch (reason) {
      this.#failed(reason);
    }
  }

  #failed(reason: unknown): void {
    if (this.#ended) return;
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

  #look(): void {
    const now = performance.now();
    const { sockets } = this.#options;
    this.#drain(sockets.tcp, "tcp", now);
    for (const attempt of this.#attempts.unreported(now)) this.#report("tcp", attempt);
    this.#drain(sockets.udp, "udp", now);
    if (now - this.#overflowToldAt >= OVERFLOW_INTERVAL_MS) this.#tellOverflow(now);
    this.#emptyLooks += 1;
    this.#taken.tcp = 0;
    this.#taken.udp = 0;
    if (this.#emptyLooks >= EMPTY_LOOKS && this.#attempts.isEmpty && this.#unseen.tcp + this.#unseen.udp === 0) this.#rest();
  }

  #drain(socket: number, protocol: Protocol, now: number): void {
    for (;;) {
      const size = receivePacket(socket, this.#buffer);
      if (size === undefined) break;
      this.#take(protocol, this.#buffer.subarray(0, size), now);
      // Counted up again by this look itself.
      this.#emptyLooks = -1;
    }
    this.#unseen[protocol] += droppedPackets(socket);
  }

  #take(protocol: Protocol, bytes: Buffer, now: number): void {
    const packet: PacketEnds | undefined = parsePacket(bytes);
    if (packet === undefined || this.#taken[protocol] >= PACKETS_PER_LOOK) {
      this.#unseen[protocol]++;
      return;
    }
    this.#taken[protocol]++;
    if (protocol === "tcp" && this.#options.capturing) this.#attempts.opened(packet, now);
    else this.#report(protocol, packet);
  }

  #report(protocol: Protocol, { destination }: Attempt): void {
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
