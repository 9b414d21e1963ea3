import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { Duplex } from "node:stream";
import { connect } from "node:tls";
import { Dice } from "../../../../policy/dice.test-support.ts";
import type { ByteSocket } from "../relay.ts";
import { SandboxCa } from "./sandbox-ca.ts";
import { TlsServerSide } from "./server-side.ts";

const ca = new SandboxCa();

/** Our end and a client's, joined by a wire that takes as much at once as `room` says, and more a moment later. */
function join(room: () => number, piece: number) {
  let ended = false;
  const wire = new Duplex({
    read() {},
    write(bytes: Buffer, _, done) {
      side.feed(Buffer.from(bytes));
      done();
    },
  });
  const raw: ByteSocket = {
    write(bytes) {
      const taken = Math.min(bytes.length, room());
      if (taken > 0) wire.push(Buffer.from(bytes.subarray(0, taken)));
      if (taken < bytes.length) setImmediate(() => side.rawDrained());
      return taken;
    },
    shutdown() {
      ended = true;
      wire.push(null);
    },
    end() {},
    terminate() {},
    pause() {},
    resume() {},
  };
  let left: Buffer = Buffer.alloc(0);
  const send = () => {
    while (left.length > 0) {
      const written = side.write(left.subarray(0, piece));
      if (written === 0) return;
      left = left.subarray(written);
    }
    side.shutdown();
  };
  const side = new TlsServerSide(raw, ca.context("a.example"), [], {
    secured: send,
    data() {},
    drained: send,
    ended() {},
    failed() {},
    faulted() {},
  });
  const received = (bytes: Buffer) => {
    left = bytes;
    return new Promise<{ bytes: number; hash: string }>((resolve, reject) => {
      const hash = createHash("sha256");
      let size = 0;
      const client = connect({ socket: wire, servername: "a.example", ca: ca.certificate });
      client.on("error", reject);
      client.on("data", (chunk: Buffer) => {
        size += chunk.length;
        hash.update(chunk);
      });
      client.on("end", () => resolve({ bytes: size, hash: hash.digest("hex") }));
    });
  };
  return { received, ended: () => ended };
}

test("what a client takes slowly arrives whole and in order, the end behind it", async () => {
  const dice = new Dice(0x715);
  const sent = Buffer.from(Array.from({ length: 4_000_000 }, (_, n) => (n * 7 + (n >> 8)) & 255));
  const rooms = [() => dice.below(30_000), () => dice.pick([0, 1, 100_000, 10_000_000]), () => Number.POSITIVE_INFINITY];
  for (const [room, piece] of rooms.flatMap((one) => [10_000, 65_536, 400_000].map((size) => [one, size] as const))) {
    const pair = join(room, piece);
    expect(await pair.received(sent)).toEqual({ bytes: sent.length, hash: createHash("sha256").update(sent).digest("hex") });
    expect(pair.ended()).toBe(true);
  }
});

test.each(["secured", "data", "ended"] as const)("what the handler %s throws is a fault of ours, not of TLS", async (which) => {
  const said: string[] = [];
  const fault = Promise.withResolvers<void>();
  const wire = new Duplex({
    read() {},
    write(bytes: Buffer, _, done) {
      side.feed(Buffer.from(bytes));
      done();
    },
    final(done) {
      side.rawEnded();
      done();
    },
  });
  const raw: ByteSocket = {
    write(bytes) {
      wire.push(Buffer.from(bytes));
      return bytes.length;
    },
    shutdown() {},
    end() {},
    terminate() {},
    pause() {},
    resume() {},
  };
  const fails = (name: typeof which) => () => {
    if (name === which) throw new Error(`no ${name}`);
  };
  const side = new TlsServerSide(raw, ca.context("a.example"), [], {
    secured: fails("secured"),
    data: fails("data"),
    drained() {},
    ended: fails("ended"),
    failed: (error) => said.push(`tls: ${error.message}`),
    faulted: (error) => {
      said.push(String(error));
      fault.resolve();
    },
  });
  const client = connect({ socket: wire, servername: "a.example", ca: ca.certificate }, () => client.end("hello"));
  client.on("error", () => {});
  await fault.promise;
  expect(said).toEqual([`Error: no ${which}`]);
  side.rawClosed();
  client.destroy();
});
