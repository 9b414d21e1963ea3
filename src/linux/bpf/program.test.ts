import { afterAll, expect, test } from "bun:test";
import { closeAll } from "../descriptors.ts";
import { listenTcp } from "../listener.ts";
import { BpfAssembler } from "./assembler.ts";
import { createSocketMap, loadSocketLookup, putSocket } from "./program.ts";
import { steeringProgram } from "./steer.ts";

const opened: number[] = [];
const own = (fd: number) => {
  opened.push(fd);
  return fd;
};
afterAll(() => closeAll(opened));

test("the kernel accepts the steering program", () => {
  const map = own(createSocketMap(2));
  putSocket(map, 0, own(listenTcp("127.0.0.1", 0, 1)));
  const steering = steeringProgram({
    map,
    from: { ipv4: "10.200.0.2", ipv6: "fd00::2" },
    except: { address: "10.200.0.1", port: 3128 },
  });
  expect(own(loadSocketLookup(steering))).toBeGreaterThan(0);
});

test("what the verifier objects to is in the error", () => {
  // r2 was never written.
  const program = new BpfAssembler().move("r0", "r2").exit().assemble();
  expect(() => loadSocketLookup(program)).toThrow(/verifier says:[\s\S]*R2 !read_ok/);
});

test("only listening sockets enter the map", () => {
  const map = own(createSocketMap(1));
  expect(() => putSocket(map, 0, 0)).toThrow("put a socket into the map");
  expect(() => putSocket(map, 5, own(listenTcp("127.0.0.1", 0, 1)))).toThrow("put a socket into the map");
});
