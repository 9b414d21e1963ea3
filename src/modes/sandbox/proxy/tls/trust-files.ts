import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemBundle } from "../../../../authorities.ts";
import { TLS_PATH, TRUST_BUNDLE } from "../../box/view-layout.ts";

const CA_FILE = "openshell-ca.pem";

/** Writes what programs inside need in order to trust the sandbox's authority: it alone, and beside the system's. Public, so readable by all. */
export function writeTrustFiles(directory: string, authority: string): void {
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o755);
  writeFileSync(join(directory, CA_FILE), authority, { mode: 0o644 });
  writeFileSync(join(directory, TRUST_BUNDLE), `${systemBundle()}\n${authority}`, { mode: 0o644 });
}

/** Variables that add to the trust of a program, and variables that replace it. */
export function trustEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of ADDING) environment[name] = `${TLS_PATH}/${CA_FILE}`;
  for (const name of REPLACING) environment[name] = `${TLS_PATH}/${TRUST_BUNDLE}`;
  // libpq would bind its password to the certificate that it sees (SCRAM-SHA-256-PLUS), and the server sees another.
  environment["PGCHANNELBINDING"] = "disable";
  return environment;
}

const ADDING = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"] as const;
const REPLACING = [
  "SSL_CERT_FILE",
  "REQUESTS_CA_BUNDLE",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "PIP_CERT",
  "CARGO_HTTP_CAINFO",
  "npm_config_cafile",
  "AWS_CA_BUNDLE",
  "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
] as const;
