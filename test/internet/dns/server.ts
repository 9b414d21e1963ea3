/** A DNS server with made-up zones that counts every question. */
import { createServer } from "node:net";
import ipaddr from "ipaddr.js";
import { encodeAnswer, parseQuestion, TYPE_A, TYPE_AAAA } from "./message.ts";

/**
 * What a name answers. A list is the same answer every time; a list of lists is a rebinding name: the n-th question of a type gets the n-th
 * list, and the last one repeats.
 */
export type Zone = Readonly<Record<string, readonly string[] | readonly (readonly string[])[]>>;

export interface DnsQuestion {
  readonly name: string;
  readonly type: "A" | "AAAA" | "other";
}

export interface DnsServer {
  readonly questions: DnsQuestion[];
  /** Adds or replaces names. */
  set(zone: Zone): void;
}

/** Serves UDP and TCP port 53 of `address`. */
export async function serveDns(address: string, zone: Zone): Promise<DnsServer> {
  const names = new Map<string, readonly (readonly string[])[]>();
  const asked = new Map<string, number>();
  const questions: DnsQuestion[] = [];
  const set = (added: Zone) => {
    for (const [name, answers] of Object.entries(added)) {
      names.set(name, typeof answers[0] === "string" ? [answers as readonly string[]] : (answers as readonly (readonly string[])[]));
    }
  };
  set(zone);

  const answer = (message: Uint8Array): Uint8Array | undefined => {
    const question = parseQuestion(message);
    if (question === undefined) return undefined;
    const { name } = question;
    const type = question.type === TYPE_A ? "A" : question.type === TYPE_AAAA ? "AAAA" : "other";
    questions.push({ name, type });
    const steps = names.get(name);
    const key = `${name} ${type}`;
    const step = asked.get(key) ?? 0;
    asked.set(key, step + 1);
    const kind = type === "A" ? "ipv4" : "ipv6";
    const addresses = (type === "other" ? [] : (steps?.[Math.min(step, steps.length - 1)] ?? []))
      .map((text) => ipaddr.parse(text))
      .filter((parsed) => parsed.kind() === kind)
      .map((parsed) => Uint8Array.from(parsed.toByteArray()));
    return encodeAnswer(question, steps !== undefined, addresses);
  };

  await Bun.udpSocket({
    hostname: address,
    port: 53,
    socket: {
      data(socket, data, port, peer) {
        const reply = answer(data);
        if (reply !== undefined) socket.send(reply, port, peer);
      },
    },
  });
  const tcp = createServer((socket) => {
    let pending = Buffer.alloc(0);
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const length = pending.readUInt16BE(0);
        const reply = answer(pending.subarray(2, 2 + length));
        pending = pending.subarray(2 + length);
        if (reply === undefined) return socket.destroy();
        const size = Buffer.alloc(2);
        size.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([size, reply]));
      }
    });
  });
  await new Promise<void>((resolve, reject) => tcp.once("error", reject).listen(53, address, resolve));
  return { questions, set };
}
