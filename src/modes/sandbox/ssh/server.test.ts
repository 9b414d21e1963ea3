import { expect, test } from "bun:test";
import { Duplex } from "node:stream";
import { Client } from "ssh2";
import { newHostKey } from "./host-key.ts";
import { SshService } from "./server.ts";

const service = new SshService({
  hostKey: newHostKey(),
  connect: () => Promise.reject(new Error("nothing listens here")),
  launch: () => Promise.reject(new Error("nothing runs here")),
  launchSftp: () => Promise.reject(new Error("nothing runs here")),
  surroundings: () => ({ shell: "/bin/sh", workdir: "/", environment: {} }),
});

/** Two ends of a stream in memory. */
function pair(): [Duplex, Duplex] {
  const end = (other: () => Duplex): Duplex =>
    new Duplex({
      read() {},
      // Later, as from a network: the library does not expect an answer within its own write.
      write(chunk, _encoding, done) {
        setImmediate(() => {
          other().push(chunk);
          done();
        });
      },
      final(done) {
        other().push(null);
        done();
      },
    });
  const one: Duplex = end(() => two);
  const two: Duplex = end(() => one);
  return [one, two];
}

/** Sends bytes as a client and closes; resolves when the server is done with it. */
async function send(...pieces: readonly Uint8Array[]): Promise<void> {
  const [client, server] = pair();
  const served = service.serve(server);
  client.on("error", () => {});
  client.resume();
  for (const piece of pieces) client.write(piece);
  await new Promise((resolve) => setImmediate(resolve));
  client.end();
  await served;
}

/** Deterministic bytes: a failure can be repeated. */
function noise(seed: number, length: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state >>> 24;
  });
}

test("whatever a client sends, the service goes on", async () => {
  const hello = Buffer.from("SSH-2.0-test\r\n");
  for (let seed = 1; seed <= 100; seed += 1) {
    await send(noise(seed, 300));
    await send(hello, noise(seed, 300));
    // A packet whose framing is right: length, padding length, a type of message, noise.
    const packet = Buffer.from(noise(seed, 64));
    packet.writeUInt32BE(60, 0);
    packet[4] = 10;
    packet[5] = seed % 128;
    await send(hello, packet);
  }
  const [one, two] = pair();
  void service.serve(two);
  const client = new Client();
  const ready = Promise.withResolvers<void>();
  client.on("ready", () => ready.resolve()).on("error", ready.reject);
  client.connect({ sock: one, username: "sandbox" });
  await ready.promise;
  const failed = Promise.withResolvers<{ code: number; text: string }>();
  client.exec("id", (error, channel) => {
    if (error) return failed.reject(error);
    let text = "";
    channel.stderr.on("data", (data: Buffer) => {
      text += data.toString();
    });
    channel.resume();
    channel.on("close", (code: number) => failed.resolve({ code, text }));
  });
  expect(await failed.promise).toEqual({ code: 126, text: expect.stringContaining("openshell:") });
  client.end();
});

test("another user is not let in", async () => {
  const [one, two] = pair();
  void service.serve(two);
  const client = new Client();
  const refused = Promise.withResolvers<Error>();
  client.on("ready", () => refused.reject(new Error("let in"))).on("error", refused.resolve);
  client.connect({ sock: one, username: "root" });
  expect(String(await refused.promise)).toContain("authentication methods failed");
  client.end();
});
