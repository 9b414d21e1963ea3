import { expect, test } from "bun:test";
import type { MatchedEndpoint } from "../../../../engine/decision.ts";
import { checkProxied } from "./permission.ts";

const endpoint = (...allowedIps: string[]) => ({ id: "r/0", endpoint: { host: "x", allowedIps } }) as unknown as MatchedEndpoint;
const code = (host: string, ...endpoints: MatchedEndpoint[]) => {
  const verdict = checkProxied(host, endpoints);
  return verdict.permitted ? "permitted" : verdict.code;
};

test("names go to the proxy unless their addresses matter or they mean whoever resolves them", () => {
  expect(code("api.example", endpoint())).toBe("permitted");
  expect(code("api.example", endpoint("10.0.0.0/8"))).toBe("not_in_allowed_ips");
  expect(code("api.example", endpoint("10.0.0.0/8"), endpoint())).toBe("permitted");
  expect(code("api.example")).toBe("not_in_allowed_ips");
  for (const host of [
    "localhost",
    "a.localhost",
    "localhost.localdomain",
    "metadata.google.internal",
    "metadata",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
  ])
    expect([host, code(host, endpoint())]).toEqual([host, "always_blocked"]);
  for (const host of ["localhost.example", "xlocalhost", "metadata.example", "my-metadata.internal"])
    expect([host, code(host, endpoint())]).toEqual([host, "permitted"]);
});
