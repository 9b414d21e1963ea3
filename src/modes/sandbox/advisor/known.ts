import blocked from "../../../../policies/data/blocked-destinations.json" with { type: "json" };
import programs from "../../../../policies/data/programs.json" with { type: "json" };
import ports from "../../../../policies/data/sensitive-ports.json" with { type: "json" };
import services from "../../../../policies/data/services.json" with { type: "json" };

const metadataHosts = new Set(blocked.metadataHosts);
const loopbackHosts = new Set(blocked.loopbackHosts);
const clusterHosts = new Set(blocked.clusterHosts);
const runners = new Set([...programs.interpreters, ...programs.transferTools]);
const controlPorts = new Set(Object.keys(ports.control).map(Number));
const databasePorts = new Map(Object.entries(ports.database));
const catalogue = new Set(
  services.services.flatMap((service) => service.programs.flatMap((program) => service.ports.map((port) => `${program}:${port}`))),
);

/** Names of this machine, of its cluster, and of cloud metadata services: never proposed. */
export function isForbiddenName(host: string): boolean {
  const under = (suffix: string) => host === suffix || host.endsWith(`.${suffix}`);
  return (
    metadataHosts.has(host) ||
    loopbackHosts.has(host) ||
    clusterHosts.has(host) ||
    blocked.loopbackSuffixes.some(under) ||
    blocked.clusterSuffixes.some((suffix) => under(suffix) && !host.startsWith("host."))
  );
}

/** Ports through which container engines and clusters are controlled. */
export function isControlPort(port: number): boolean {
  return controlPorts.has(port);
}

/** What a database listens on at this port, if that is what the port is for. */
export function databaseAt(port: number): string | undefined {
  return databasePorts.get(String(port));
}

/** Programs that run scripts of others or exist to move data: any use of them gets the right. `python3.12` counts as `python`. */
export function runsAnything(binary: string): boolean {
  const name = baseName(binary);
  return runners.has(name) || runners.has(unversioned(name));
}

/** Whether some service of the shipped catalogue is used by this program on this port. */
export function inCatalogue(binary: string, port: number): boolean {
  const name = baseName(binary);
  return catalogue.has(`${name}:${port}`) || catalogue.has(`${unversioned(name)}:${port}`);
}

/** The last segment of a path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function unversioned(name: string): string {
  return name.replace(/[-.]?\d[\d.]*$/, "");
}
