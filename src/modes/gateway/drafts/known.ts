import blocked from "../../../../policies/data/blocked-destinations.json" with { type: "json" };
import exfiltration from "../../../../policies/data/exfiltration-hosts.json" with { type: "json" };
import programs from "../../../../policies/data/programs.json" with { type: "json" };
import ports from "../../../../policies/data/sensitive-ports.json" with { type: "json" };
import services from "../../../../policies/data/services.json" with { type: "json" };

/** The shipped lists of `policies/data`, in the shape that look-ups need. */
export const metadataHosts: ReadonlySet<string> = new Set(blocked.metadataHosts);
export const loopbackHosts: ReadonlySet<string> = new Set(blocked.loopbackHosts);
export const loopbackSuffixes: readonly string[] = blocked.loopbackSuffixes;
export const clusterHosts: ReadonlySet<string> = new Set(blocked.clusterHosts);
export const clusterSuffixes: readonly string[] = blocked.clusterSuffixes;
export const hostAliases: ReadonlySet<string> = new Set(blocked.hostAliases);
export const lookAlikeTargets: readonly string[] = services.lookAlikeTargets;

const interpreters = new Set(programs.interpreters);
const transferTools = new Set(programs.transferTools);
const databasePorts = new Map(Object.entries(ports.database));
const adminPorts = new Map(Object.entries(ports.admin));
const controlPorts = new Map(Object.entries(ports.control));
const catalogue = new Set(
  services.services.flatMap((service) => service.programs.flatMap((program) => service.ports.map((port) => `${program}:${port}`))),
);

/** Whether a program runs scripts of others: `python3.12` and `perl5.36.0` count as `python` and `perl`. */
export function isInterpreter(binary: string): boolean {
  return interpreters.has(baseName(binary)) || interpreters.has(unversioned(binary));
}

/** Whether a program exists to move data. */
export function isTransferTool(binary: string): boolean {
  return transferTools.has(baseName(binary)) || transferTools.has(unversioned(binary));
}

/** What a database listens on at this port, if that is what the port is for. */
export function databaseAt(port: number): string | undefined {
  return databasePorts.get(String(port));
}

/** What is administered through this port, if that is what the port is for. */
export function administrationAt(port: number): string | undefined {
  return adminPorts.get(String(port));
}

/** Which container engine or cluster is controlled through this port. */
export function controlPlaneAt(port: number): string | undefined {
  return controlPorts.get(String(port));
}

/** Whether some service of the catalogue is used by this program on this port. */
export function inCatalogue(binary: string, port: number): boolean {
  return catalogue.has(`${baseName(binary)}:${port}`) || catalogue.has(`${unversioned(binary)}:${port}`);
}

/** Which kind of place to leave data at a host belongs to, itself or by a parent domain. */
export function exfiltrationKind(host: string): "paste" | "webhook" | "tunnel" | undefined {
  const kinds = ["paste", "webhook", "tunnel"] as const;
  return kinds.find((kind) => exfiltration[kind].some((known) => isUnder(host, known)));
}

/** Whether `host` is `parent` or a name below it. */
export function isUnder(host: string, parent: string): boolean {
  return host === parent || host.endsWith(`.${parent}`);
}

/** The last segment of a path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function unversioned(path: string): string {
  return baseName(path).replace(/[-.]?\d[\d.]*$/, "");
}
