import { expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { isTransportFault } from "./transport-faults.ts";

test("a connection that ended is told from a fault of ours", () => {
  expect(isTransportFault(new ConnectError("read ECONNRESET", Code.Aborted))).toBe(true);
  expect(isTransportFault(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }))).toBe(true);
  expect(isTransportFault(new Error("The session has been destroyed"))).toBe(true);
  expect(isTransportFault(new TypeError("x is not a function"))).toBe(false);
  expect(isTransportFault("a string")).toBe(false);
});

test("a process survives the one and ends with the other", async () => {
  const run = async (statement: string) => {
    const script = `import { surviveTransportFaults } from ${JSON.stringify(`${import.meta.dir}/transport-faults.ts`)};
      surviveTransportFaults(); setTimeout(() => process.exit(7), 50); ${statement}`;
    return await Bun.spawn({ cmd: [process.execPath, "-e", script], stderr: "ignore" }).exited;
  };
  expect(await run(`Promise.reject(Object.assign(new Error("cut"), { code: "ECONNRESET" }))`)).toBe(7);
  expect(await run(`setTimeout(() => { throw new Error("The session has been destroyed") }, 1)`)).toBe(7);
  expect(await run(`setTimeout(() => { throw new TypeError("ours") }, 1)`)).toBe(1);
  expect(await run(`Promise.reject(new TypeError("ours"))`)).toBe(1);
});
