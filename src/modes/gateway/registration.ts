import { chownSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Pki } from "./auth/pki.ts";
import { writeFileAtomically } from "./files.ts";

/** The name under which the gateway of this machine is registered. */
export const LOCAL_GATEWAY = "openshell";

/** Writes the local gateway's address and client certificate where the command line of this user looks for them (decision 7). */
export function registerForUser(configDirectory: string, endpoint: string, pki: Pki | undefined): void {
  writeRegistration(join(configDirectory, "gateways", LOCAL_GATEWAY), endpoint, pki, { keyMode: 0o600, directoryMode: 0o700 });
  const active = join(configDirectory, "active_gateway");
  if (!existsSync(active) || readFileSync(active, "utf8").trim() === "") writeFileAtomically(active, `${LOCAL_GATEWAY}\n`, 0o644);
}

/** The same for every member of the group `openshell` of this machine; without that group for root alone. */
export function registerForMachine(systemDirectory: string, endpoint: string, pki: Pki | undefined): void {
  const gid = groupId("openshell");
  writeRegistration(join(systemDirectory, LOCAL_GATEWAY), endpoint, pki, {
    keyMode: gid === undefined ? 0o600 : 0o640,
    directoryMode: 0o755,
    gid,
  });
}

interface Access {
  readonly keyMode: number;
  readonly directoryMode: number;
  readonly gid?: number | undefined;
}

function writeRegistration(directory: string, endpoint: string, pki: Pki | undefined, access: Access): void {
  const mtls = join(directory, "mtls");
  mkdirSync(mtls, { recursive: true, mode: access.directoryMode });
  const metadata = {
    name: LOCAL_GATEWAY,
    gateway_endpoint: endpoint,
    is_remote: false,
    gateway_port: Number(new URL(endpoint).port),
    auth_mode: pki === undefined ? "plaintext" : "mtls",
  };
  writeFileAtomically(join(directory, "metadata.json"), `${JSON.stringify(metadata, undefined, 2)}\n`, 0o644);
  if (pki === undefined) return;
  writeFileAtomically(join(mtls, "ca.crt"), pki.caCertificate, 0o644);
  writeFileAtomically(join(mtls, "tls.crt"), pki.clientCertificate, 0o644);
  const key = join(mtls, "tls.key");
  writeFileAtomically(key, pki.clientKey, access.keyMode);
  if (access.gid !== undefined) chownSync(key, 0, access.gid);
}

function groupId(name: string): number | undefined {
  try {
    const line = readFileSync("/etc/group", "utf8")
      .split("\n")
      .find((entry) => entry.startsWith(`${name}:`));
    return line === undefined ? undefined : Number(line.split(":")[2]);
  } catch {
    return undefined;
  }
}
