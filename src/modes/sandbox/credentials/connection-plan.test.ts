import { expect, test } from "bun:test";
import type { Inspection } from "../../../engine/decision.ts";
import { emptyEndpoint } from "../../../policy/defaults.ts";
import type { Endpoint } from "../../../policy/model.ts";
import { planWithCredentials } from "./connection-plan.ts";
import { CredentialSet } from "./model.ts";

const RELAY: Inspection = { inspected: false, protocols: [], tls: "terminate", opaque: "relay" };
const SKIP: Inspection = { ...RELAY, tls: "skip" };
const SERVER = { host: "a.example", port: 443 };
const set = new CredentialSet([
  { key: "K", secret: "secret-1", provider: "p", slots: [], endpoints: [{ host: "b.example", ports: [443], path: "" }] },
]);
const plan = (from: Inspection, endpoint: Partial<Endpoint> = {}, host = "a.example") =>
  planWithCredentials(from, [{ ...emptyEndpoint, ...endpoint }], { ...SERVER, host }, set);

test("case-80 requests that may carry credentials are seen, or do not pass", () => {
  const refusing = { ...RELAY, inspected: true, opaque: "refuse" } as const;
  expect(plan(RELAY)).toBe(RELAY);
  expect(plan(SKIP)).toBe(SKIP);
  for (const endpoint of [{ providerCredentialed: true }, { credentialBinding: { provider: "p" } }, { credentialSigning: "sigv4" }]) {
    expect(plan(RELAY, endpoint)).toEqual(refusing);
    expect(plan(SKIP, endpoint)).toBeUndefined();
    expect(plan(SKIP, { ...endpoint, allowUninspectedCredentials: true })).toBe(SKIP);
  }
  expect(plan(RELAY, {}, "b.example")).toEqual(refusing);
  expect(plan(SKIP, {}, "b.example")).toBeUndefined();
  const audit = { ...RELAY, inspected: true, opaque: "audit" } as const;
  expect(plan(audit, { providerCredentialed: true })).toEqual(audit);
});
