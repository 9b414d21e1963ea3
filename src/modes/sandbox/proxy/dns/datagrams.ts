import type { Socket } from "bun";
import type { EventSink } from "../../../../events/event.ts";
import { parseDatagram } from "../../../../linux/bpf/packet.ts";
import { droppedPackets } from "../../../../linux/bpf/packet-socket.ts";
import { sendFrom } from "../../../../linux/datagram-reply.ts";
import { duplicate } from "../../../../linux/descriptors.ts";
import type { BoxResolver } from "../../box/contract.ts";
import type { Responder } from "./responder.ts";

/** How long nothing is read once there are too many questions; the kernel keeps a queue of them and drops the rest. */
const REST_MS = 20;
/** How often a flood is told, as a number. */
const FLOOD_INTERVAL_MS = 10_000;

/**
 * Answers questions over UDP. They are read as packets, because a packet tells which address was asked, and answered from that address
 * by another socket.
 */
export class DatagramResponder implements Disposable {
  readonly #sockets: BoxResolver;
  readonly #responder: Responder;
  readonly #emit: EventSink;
  #packets: Socket | undefined;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #dropped = 0;
  #floodToldAt = Number.NEGATIVE_INFINITY;
  #ended = false;

  constructor(sockets: BoxResolver, responder: Responder, emit: EventSink) {
    this.#sockets = sockets;
    this.#responder = responder;
    this.#emit = emit;
    this.#listen();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    clearTimeout(this.#rest);
    this.#packets?.terminate();
  }

  #listen(): void {
    // `fd` adopts any socket that can be read and closes it in the end; it works for packets too, and is not in the types.
    const adopted = { fd: duplicate(this.#sockets.packets) } as unknown as { hostname: string; port: number };
    Bun.connect({
      ...adopted,
      socket: {
        open: (socket) => {
          this.#packets = socket;
          if (this.#ended) socket.terminate();
        },
        data: (socket, packet) => this.#received(socket, packet),
        close: () => this.#failed("its socket was closed"),
        error: (_, error) => this.#failed(error.message),
      },
    }).catch((error) => this.#failed(String(error)));
  }

  #received(socket: Socket, packet: Buffer): void {
    if (!this.#responder.admits()) {
      this.#dropped++;
      this.#pause(socket);
      return;
    }
    const datagram = parseDatagram(packet);
    if (datagram === undefined) return;
    const reply = this.#responder.reply(datagram.payload);
    if (reply === undefined) return;
    const { source, destination } = datagram;
    const fd = destination.address.includes(":") ? this.#sockets.ipv6 : this.#sockets.ipv4;
    if (fd !== undefined) sendFrom(fd, destination.address, source, reply);
  }

  #pause(socket: Socket): void {
    if (this.#rest !== undefined) return;
    socket.pause();
    this.#rest = setTimeout(() => {
      this.#rest = undefined;
      socket.resume();
      this.#tellFlood();
    }, REST_MS);
    this.#rest.unref();
  }

  #tellFlood(): void {
    this.#dropped += droppedPackets(this.#sockets.packets);
    const now = performance.now();
    if (this.#dropped === 0 || now - this.#floodToldAt < FLOOD_INTERVAL_MS) return;
    this.#floodToldAt = now;
    const dropped = this.#dropped;
    this.#dropped = 0;
    this.#finding("dns-flood", "More questions for names than are answered", { dropped: String(dropped) });
  }

  /** Without it programs that know no proxy find no names; what is not answered is still refused. */
  #failed(reason: string): void {
    if (this.#ended) return;
    this[Symbol.dispose]();
    this.#finding("dns-failed", "Names are no longer answered over UDP", { reason });
  }

  #finding(id: string, title: string, evidence: Record<string, string>): void {
    this.#emit({ kind: "finding", time: Date.now(), severity: "medium", id, title, evidence });
  }
}
