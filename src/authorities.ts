import { readFileSync } from "node:fs";
import { OpenShellError } from "./error.ts";

/** Where distributions keep the bundle of all trusted authorities; the first that is not empty counts. */
export const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/ssl/cert.pem",
] as const;

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The authorities that servers are verified against, one PEM text each: the system's, and those of `extraFile`. */
export function upstreamAuthorities(extraFile: string | undefined): readonly string[] {
  const system = certificates(systemBundle());
  return extraFile === undefined ? system : [...system, ...extraAuthorities(extraFile)];
}

/** The text of the system's bundle; empty when there is none, so that every server fails verification. */
export function systemBundle(): string {
  for (const path of SYSTEM_BUNDLES) {
    try {
      const text = readFileSync(path, "utf8");
      if (text.trim() !== "") return text;
    } catch {
      // not this distribution's
    }
  }
  return "";
}

function extraAuthorities(file: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new OpenShellError("not_found", `the file of --upstream-ca cannot be read: ${OpenShellError.from(error).message}`, {
      next: "name a PEM file that exists",
    });
  }
  const found = certificates(text);
  if (found.length === 0)
    throw new OpenShellError("invalid_argument", `${file} (--upstream-ca) holds no certificate in PEM form`, {
      next: "convert it: openssl x509 -inform der -in FILE -out FILE.pem",
    });
  return found;
}

function certificates(text: string): readonly string[] {
  return text.match(CERTIFICATE) ?? [];
}
