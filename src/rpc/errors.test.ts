import { describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { OpenShellError } from "../error.ts";
import { fromConnectError, toConnectError } from "./errors.ts";

const silent = () => {};

describe("errors on the wire", () => {
  test("code, message, next step and violations survive both directions", () => {
    const thrown = new OpenShellError("invalid_argument", "name is 70 characters, at most 63 are accepted", {
      next: "choose a shorter name",
      violations: [{ field: "name", message: "too long" }],
      cause: new Error("secret"),
    });
    const back = fromConnectError(toConnectError(thrown, silent));
    expect(back.code).toBe("invalid_argument");
    expect(back.message).toBe(thrown.message);
    expect(back.next).toBe("choose a shorter name");
    expect(back.violations).toEqual([{ field: "name", message: "too long" }]);
  });

  test("internals are logged and never sent", () => {
    const logged: unknown[] = [];
    const sent = toConnectError(new TypeError("x of /root/secret"), (r) => logged.push(r));
    expect(sent.code).toBe(Code.Internal);
    expect(sent.message).not.toContain("secret");
    expect(logged).toHaveLength(1);
  });

  test("a gateway that goes away in a call is unavailable, in a sentence", () => {
    for (const [said, code] of [
      ["http/2 stream closed with error code CANCEL (0x8)", Code.Canceled],
      ["The stream has been destroyed", Code.Internal],
      ["read ECONNRESET", Code.Unavailable],
    ] as const) {
      const lost = fromConnectError(new ConnectError(said, code));
      expect([lost.code, lost.message, lost.next]).toEqual(["unavailable", "the connection to the gateway was lost", "openshell status"]);
    }
  });

  test("a caller that has gone is nothing to log, a full disk is, and both have a status", () => {
    const logged: unknown[] = [];
    const log = (reason: unknown): unknown => logged.push(reason);
    const gone = Object.assign(new Error("The stream has been destroyed"), { code: "ERR_HTTP2_INVALID_STREAM" });
    expect(toConnectError(gone, log).code).toBe(Code.Canceled);
    const broken = Object.assign(new Error("Premature close"), { code: "ERR_STREAM_PREMATURE_CLOSE" });
    expect(toConnectError(broken, log).code).toBe(Code.Canceled);
    expect(logged).toEqual([]);
    expect(toConnectError(Object.assign(new Error("x"), { code: "ENOSPC" }), log).code).toBe(Code.ResourceExhausted);
    expect(logged).toHaveLength(1);
  });

  test("an unreachable gateway is unavailable", () => {
    expect(fromConnectError(new ConnectError("connection refused", Code.Unavailable)).code).toBe("unavailable");
  });
});
