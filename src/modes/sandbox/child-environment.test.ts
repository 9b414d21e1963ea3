import { expect, test } from "bun:test";
import { childEnvironment, PROXY_URL } from "./child-environment.ts";

const identity = { sandboxName: "demo", sandboxId: "id-1", workspace: "default" };

test("only the allow-listed variables of the host reach a program", () => {
  const host = {
    PATH: "/bin",
    LANG: "C",
    LC_ALL: "C",
    TERM: "xterm",
    TZ: "UTC",
    AWS_SECRET_ACCESS_KEY: "s",
    BUN_OPTIONS: "x",
    LD_PRELOAD: "y",
  };
  const environment = childEnvironment(identity, {}, host);
  for (const name of ["AWS_SECRET_ACCESS_KEY", "BUN_OPTIONS", "LD_PRELOAD"]) expect(environment).not.toHaveProperty(name);
  expect(environment).toMatchObject({ PATH: "/bin", LANG: "C", LC_ALL: "C", TERM: "xterm", TZ: "UTC", HOME: "/sandbox" });
});

test("proxy variables come in both cases and a user cannot point them elsewhere", () => {
  const environment = childEnvironment(identity, { HTTPS_PROXY: "http://elsewhere:1", grpc_proxy: "", MINE: "1" }, {});
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "grpc_proxy"])
    expect(environment[name]).toBe(PROXY_URL);
  expect(environment["NO_PROXY"]).toBe("127.0.0.1,localhost,::1");
  expect(environment["MINE"]).toBe("1");
});

test("a program knows which sandbox it is in", () => {
  expect(childEnvironment(identity, {}, {})).toMatchObject({
    OPENSHELL_SANDBOX: "1",
    OPENSHELL_SANDBOX_NAME: "demo",
    OPENSHELL_SANDBOX_ID: "id-1",
    OPENSHELL_WORKSPACE: "default",
  });
});
