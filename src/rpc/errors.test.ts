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

  test("an unreachable gateway is unavailable", () => {
    expect(fromConnectError(new ConnectError("connection refused", Code.Unavailable)).code).toBe("unavailable");
  });
});
