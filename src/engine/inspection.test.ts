import { expect, test } from "bun:test";
import { emptyEndpoint } from "../policy/defaults.ts";
import type { Endpoint } from "../policy/model.ts";
import { inspectionOf } from "./inspection.ts";

const of = (...endpoints: Partial<Endpoint>[]) =>
  inspectionOf({
    allowed: true,
    policy: "r",
    generation: 1,
    endpoints: endpoints.map((endpoint, i) => ({ id: `r/${i}`, endpoint: { ...emptyEndpoint, ...endpoint } })),
  });

test("plain connections are terminated and pass anything; tls: skip leaves them alone", () => {
  expect(of({})).toEqual({ inspected: false, protocols: [], tls: "terminate", opaque: "relay" });
  expect(of({ protocol: "tcp" })).toEqual({ inspected: false, protocols: ["tcp"], tls: "terminate", opaque: "relay" });
  expect(of({ tls: "skip" })).toMatchObject({ inspected: false, tls: "skip", opaque: "relay" });
});

test("what hides its requests is refused where rules are enforced", () => {
  expect(of({ protocol: "rest", enforcement: "enforce" })).toEqual({
    inspected: true,
    protocols: ["rest"],
    tls: "terminate",
    opaque: "refuse",
  });
  expect(of({ protocol: "rest", tls: "skip", enforcement: "enforce" })).toMatchObject({ inspected: true, tls: "skip", opaque: "refuse" });
  expect(of({ protocol: "sql" })).toMatchObject({ inspected: true, opaque: "audit" });
});

test("the closer look wins", () => {
  expect(of({ tls: "skip" }, { protocol: "rest", enforcement: "enforce" })).toEqual({
    inspected: true,
    protocols: ["rest"],
    tls: "terminate",
    opaque: "refuse",
  });
  expect(of({ protocol: "rest" }, { protocol: "mcp", enforcement: "enforce" })).toMatchObject({
    protocols: ["mcp", "rest"],
    opaque: "refuse",
  });
});
