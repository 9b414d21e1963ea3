import { expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import type { Socket } from "bun";
import { descriptorOf } from "./descriptor.ts";
import { Tunnel } from "./relay.ts";

interface Side {
  tunnel?: Tunnel;
  early: Buffer[];
}

/** A relay on loopback, whose tunnels the kernel may help with. */
function relay(target: number): { readonly port: number; readonly ended: Promise<void>; stop(): void } {
  const ended = Promise.withResolvers<void>();
  const listener = Bun.listen<Side>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      open(client) {
        client.data = { early: [] };
        const { data } = client;
        void Bun.connect<undefined>({
          hostname: "127.0.0.1",
          port: target,
          allowHalfOpen: true,
          socket: {
            open(upstream) {
              const ends = { client: () => descriptorOf(client), upstream: () => descriptorOf(upstream) };
              data.tunnel = new Tunnel(client, upstream, { tunnelEnded: () => ended.resolve() }, undefined, ends);
              for (const bytes of data.early) data.tunnel.toUpstream(bytes);
            },
            data: (_, bytes) => data.tunnel?.toClient(bytes),
            drain: () => data.tunnel?.upstreamDrained(),
            end: () => data.tunnel?.upstreamFinished(),
            close: (_, error) => data.tunnel?.upstreamClosed(error),
          },
        });
      },
      data: ({ data }, bytes) => {
        if (data.tunnel === undefined) data.early.push(Buffer.from(bytes));
        else data.tunnel.toUpstream(bytes);
      },
      drain: ({ data }) => data.tunnel?.clientDrained(),
      end: ({ data }) => data.tunnel?.clientFinished(),
      close: ({ data }, error) => data.tunnel?.clientClosed(error),
    },
  });
  return { port: listener.port, ended: ended.promise, stop: () => listener.stop(true) };
}

/** Sends `blocks` of the same random bytes and then FIN; reads in turns, pausing after each `pauseEvery` bytes when that is not 0. */
function endpoint(block: Buffer, blocks: number, pauseEvery: number) {
  const hash = createHash("sha256");
  let received = 0;
  let sent = 0;
  let unpaused = 0;
  let finished = false;
  let ended = false;
  const done = Promise.withResolvers<{ readonly received: number; readonly digest: string }>();
  const send = (socket: Socket<unknown>) => {
    if (finished) return;
    const total = block.length * blocks;
    while (sent < total) {
      const at = sent % block.length;
      const written = Math.max(0, socket.write(block.subarray(at)));
      sent += written;
      if (written < block.length - at) return;
    }
    finished = true;
    if (ended) socket.end();
    else socket.shutdown();
  };
  return {
    done: done.promise,
    handlers: {
      open: send,
      drain: send,
      data(socket: Socket<unknown>, bytes: Buffer) {
        hash.update(bytes);
        received += bytes.length;
        unpaused += bytes.length;
        if (pauseEvery === 0 || unpaused < pauseEvery) return;
        unpaused = 0;
        socket.pause();
        setImmediate(() => socket.resume());
      },
      end(socket: Socket<unknown>) {
        ended = true;
        if (finished) socket.end();
      },
      // The end of one that has finished itself is told as this alone.
      close: () => done.resolve({ received, digest: hash.digest("hex") }),
      error: (_: unknown, error: Error) => done.reject(error),
    },
  };
}

test.each([
  ["as fast as both ends can", 0],
  ["to readers that stop all the time", 300_000],
])("bulk both ways at once, %s: every byte, in order, and each end by itself", async (_, pauseEvery) => {
  const block = randomBytes(1_000_003);
  const blocks = 40;
  const whole = createHash("sha256");
  for (let i = 0; i < blocks; i++) whole.update(block);
  const digest = whole.digest("hex");

  const server = endpoint(block, blocks, pauseEvery);
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, allowHalfOpen: true, socket: server.handlers });
  const between = relay(listener.port);
  const client = endpoint(block, blocks, pauseEvery);
  await Bun.connect({ hostname: "127.0.0.1", port: between.port, allowHalfOpen: true, socket: client.handlers });
  const expected = { received: block.length * blocks, digest };
  expect(await client.done).toEqual(expected);
  expect(await server.done).toEqual(expected);
  await between.ended;
  between.stop();
  listener.stop(true);
});
