import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { classifyAddress, parseAddress } from "../../../address/address-class.ts";
import type { AddressSet } from "../../../address/address-set.ts";
import { emptyEndpoint } from "../../../policy/defaults.ts";
import type { NetworkRule } from "../../../policy/model.ts";
import { ruleToProto } from "../../../policy/proto.ts";
import { type PolicyChunk, PolicyChunkSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { Emission, Entry } from "./aggregator.ts";
import { baseName, databaseAt, inCatalogue, runsAnything } from "./known.ts";

/** Ports above belong to no known service (IANA dynamic range). */
const LAST_REGISTERED_PORT = 49_151;
/** The gateway accepts rule names of 248 characters; a DNS name has up to 253. */
const MAX_HOST_IN_NAME = 200;

/** Ports where servers speak HTTP, with TLS or without: what passes there can be looked at. */
const INSPECTABLE_PORTS: ReadonlySet<number> = new Set([80, 443, 8000, 8080, 8443, 3000, 5000, 8888, 9000]);

/**
 * The stage-1 proposal for one denial: exactly this host and port, for exactly this executable. Where HTTP is spoken requests are looked at and
 * logged, none is refused; elsewhere the connection is plain.
 * @param addresses private and other addresses that the name leads to, when it may be asked; absent: the gateway asks at approval
 */
export function proposeEndpoint(emission: Emission, addresses: readonly string[] | undefined, trusted: AddressSet): PolicyChunk {
  const { entry } = emission;
  const allowedIps = allowedIpsFor(addresses, trusted);
  const inspected = INSPECTABLE_PORTS.has(entry.port);
  const name = ruleName(entry.host, entry.port, [entry.binary]);
  const rule: NetworkRule = {
    name,
    endpoints: [
      {
        ...emptyEndpoint,
        host: entry.host,
        ports: [entry.port],
        allowedIps,
        ...(inspected && { protocol: "rest", enforcement: "audit", access: "full" }),
      },
    ],
    binaries: [{ path: entry.binary, selfOnly: true }],
  };
  return create(PolicyChunkSchema, {
    ...chunkFields(emission, allowedIps),
    ruleName: name,
    proposedRule: ruleToProto(rule),
    rationale: rationale(entry, allowedIps, inspected),
    stage: "initial",
  });
}

/** What every proposal of these rules carries, whatever it proposes; its times are those of its summary. */
export function chunkFields({ entry, count }: Emission, allowedIps: readonly string[] = []) {
  return {
    securityNotes: securityNotes(entry, allowedIps).join(" "),
    confidence: confidence(entry),
    denialSummaryIds: [entry.id],
    hitCount: count,
    binary: entry.binary,
    analysisMode: "mechanistic",
    sampleCmdlines: [...entry.commandLines],
    ancestors: [...entry.ancestors],
  };
}

/** `allow_<host>_<port>_<6 hex>`: readable, and the hash keeps different proposals apart whatever their hosts look like. */
export function ruleName(host: string, port: number, binaries: readonly string[]): string {
  const hash = createHash("sha256")
    .update([host, port, ...binaries].join("\0"))
    .digest("hex")
    .slice(0, 6);
  return `allow_${host.slice(0, MAX_HOST_IN_NAME).replace(/[^A-Za-z0-9]/g, "_")}_${port}_${hash}`;
}

/** Every address of a name that leads to a private one, as narrow as the operator's own ranges permit. Public names need none. */
function allowedIpsFor(addresses: readonly string[] | undefined, trusted: AddressSet): string[] {
  if (addresses === undefined || addresses.every((address) => classifyAddress(address) === "public")) return [];
  return [...new Set(addresses.map((address) => trusted.containing(address) ?? singleAddress(address)))];
}

function singleAddress(address: string): string {
  return `${address}/${parseAddress(address)?.kind() === "ipv6" ? 128 : 32}`;
}

function rationale(entry: Entry, allowedIps: readonly string[], inspected: boolean): string {
  const times = entry.total === 1 ? "once" : `${entry.total} times`;
  const addresses = allowedIps.length === 0 ? "" : ` The host has a private address; only ${allowedIps.join(", ")} would be reachable.`;
  const seen = inspected
    ? "each is logged, none is refused. Narrow it once it is known what the program asks for."
    : "what passes at this port is not looked at.";
  return (
    `${entry.binary} was denied ${placeOf(entry)} ${times}. Approving lets ANY request of this program to this host and port through, uploads included: ` +
    `${seen}${addresses} Programs that it starts get nothing from this rule.`
  );
}

/** Host and port for people. */
export function placeOf({ host, port }: Entry): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** How likely the proposal is what the person wants, 0.05 to 0.95; the gateway computes it again from what it holds. */
export function confidence(entry: Entry): number {
  let value = 0.5;
  if (entry.total >= 10) value += 0.2;
  else if (entry.total >= 3) value += 0.1;
  if (inCatalogue(entry.binary, entry.port)) value += 0.15;
  if (entry.stages.has("ssrf")) value -= 0.2;
  if (runsAnything(entry.binary)) value -= 0.1;
  return Math.round(Math.min(0.95, Math.max(0.05, value)) * 100) / 100;
}

function securityNotes(entry: Entry, allowedIps: readonly string[]): string[] {
  const notes: string[] = [];
  if (allowedIps.length > 0) notes.push(`private_address: leads to ${allowedIps.join(", ")}.`);
  if (entry.stages.has("ssrf")) notes.push("ssrf: was refused for the address it resolves to.");
  if (runsAnything(entry.binary)) notes.push(`interpreter: any use of ${baseName(entry.binary)} gets this right.`);
  const database = databaseAt(entry.port);
  if (database !== undefined) notes.push(`database_port: port ${entry.port} is where ${database} listens.`);
  if (entry.port > LAST_REGISTERED_PORT) notes.push(`ephemeral_port: port ${entry.port} belongs to no known service.`);
  return notes;
}
