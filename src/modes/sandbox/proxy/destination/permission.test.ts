import { describe, expect, test } from "bun:test";
import { AddressSet } from "../../../../address/address-set.ts";
import type { MatchedEndpoint } from "../../../../engine/decision.ts";
import { checkDestination, type DestinationRules } from "./permission.ts";

const rules: DestinationRules = { trusted: new AddressSet(["10.50.0.0/16"]), ownAddresses: () => new Set(["93.184.216.99", "10.1.1.1"]) };

function endpoint(host: string, allowedIps: string[] = []): MatchedEndpoint {
  return { id: "r/0", endpoint: { host, allowedIps } as unknown as MatchedEndpoint["endpoint"] };
}
function code(host: string, port: number, addresses: string[], endpoints: MatchedEndpoint[]): string {
  const verdict = checkDestination(host, port, addresses, endpoints, rules);
  return verdict.permitted ? "permitted" : verdict.code;
}

describe("addresses of a host that policy allowed", () => {
  const named = [endpoint("api.example")];
  const cases: [string, string, number, string[], MatchedEndpoint[], string][] = [
    ["public", "api.example", 443, ["93.184.216.34", "2606:4700::1"], named, "permitted"],
    ["case-49: private", "api.example", 443, ["10.0.0.5"], named, "internal_address"],
    ["case-47: one private among public ones", "api.example", 443, ["93.184.216.34", "10.0.0.5"], named, "internal_address"],
    ["private in a trusted network", "api.example", 443, ["10.50.0.5"], named, "permitted"],
    ["case-43: private in allowed_ips", "api.example", 443, ["10.0.0.5"], [endpoint("api.example", ["10.0.0.0/24"])], "permitted"],
    ["case-43: hostless with allowed_ips", "x.example", 443, ["10.0.0.5"], [endpoint("", ["10.0.0.5"])], "permitted"],
    ["not in allowed_ips", "api.example", 443, ["10.0.1.5"], [endpoint("api.example", ["10.0.0.0/24"])], "not_in_allowed_ips"],
    ["public, not in allowed_ips", "api.example", 443, ["8.8.8.8"], [endpoint("api.example", ["10.0.0.0/24"])], "not_in_allowed_ips"],
    [
      "trusted, but allowed_ips says otherwise",
      "api.example",
      443,
      ["10.50.0.5"],
      [endpoint("api.example", ["10.0.0.0/24"])],
      "not_in_allowed_ips",
    ],
    [
      "each address in another endpoint",
      "api.example",
      443,
      ["10.0.0.5", "10.0.1.5"],
      [endpoint("a", ["10.0.0.5"]), endpoint("b", ["10.0.1.5"])],
      "not_in_allowed_ips",
    ],
    ["the second endpoint permits all", "api.example", 443, ["10.0.0.5"], [endpoint("a"), endpoint("b", ["10.0.0.5"])], "permitted"],
    ["case-44: declared private literal", "10.0.0.5", 443, ["10.0.0.5"], [endpoint("10.0.0.5")], "permitted"],
    ["private literal under a glob", "10.0.0.5", 443, ["10.0.0.5"], [endpoint("10.**")], "internal_address"],
    ["case-41: loopback declared", "127.0.0.1", 80, ["127.0.0.1"], [endpoint("127.0.0.1")], "always_blocked"],
    ["case-45: loopback in allowed_ips", "a.example", 80, ["127.0.0.1"], [endpoint("a.example", ["127.0.0.0/8"])], "always_blocked"],
    ["case-41: metadata declared", "169.254.169.254", 80, ["169.254.169.254"], [endpoint("169.254.169.254")], "always_blocked"],
    ["threat-24: forgotten metadata", "a.example", 80, ["168.63.129.16"], [endpoint("a.example", ["168.63.129.16"])], "always_blocked"],
    ["threat-24: an own public address", "a.example", 80, ["93.184.216.99"], named, "own_address"],
    ["threat-24: an own private address", "a.example", 80, ["10.1.1.1"], [endpoint("a.example", ["10.1.1.1"])], "own_address"],
    ["case-46: control-plane port", "a.example", 6443, ["10.0.0.5"], [endpoint("a.example", ["10.0.0.5"])], "control_plane_port"],
    ["control-plane port of a public address", "a.example", 6443, ["93.184.216.34"], named, "permitted"],
    ["no endpoint", "a.example", 443, ["93.184.216.34"], [], "internal_address"],
  ];
  for (const [name, host, port, addresses, endpoints, expected] of cases)
    test(name, () => expect(code(host, port, addresses, endpoints)).toBe(expected));
});
