import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import * as v from "valibot";
import { OpenShellError, type Violation } from "../../../error.ts";
import { fieldPath } from "../../../policy/field-path.ts";
import { hostProblem } from "../../../policy/validate-host.ts";
import { readYaml } from "../../../policy/yaml-source.ts";
import { secretProblem } from "./encode.ts";
import { type AuthoredCredential, type AuthoredSlot, authoredCredentials } from "./file-schema.ts";
import { type Credential, CredentialSet } from "./model.ts";
import { type Slot, slotsOf, TOKEN_SCHEMES } from "./slot.ts";
import { TEMPLATE_MARK } from "./substitute.ts";

/** A file of credentials: some dozens of entries at most. Bytes. */
const MAX_FILE_BYTES = 262_144;
/** One secret in a file of its own, with the line break behind it. Bytes. */
const MAX_SECRET_FILE_BYTES = 65_536;
/** Letters, digits and `_`, as programs can read them and placeholders can name them. */
const KEY = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/;
/** Variables that are ours to set, or that steer programs: a placeholder there would break them. */
const RESERVED =
  /^(?:PATH|HOME|USER|SHELL|TERM|LD_.*|NODE_.*|BUN_.*|OPENSHELL_.*|NAVIGATOR_.*|NEMOCLAW_.*|SSL_CERT_.*|.*_CA_BUNDLE|(?:https?|all|no|grpc)_proxy)$/i;
const ALIAS = /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/;
const FIELD_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

/** What the file may refer to, and where it must not be. */
export interface CredentialFileContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether the program in the box could change what is at this path. */
  isWritable(path: string): boolean;
}

/**
 * Reads the credentials of a sandbox without a gateway. The file, and each file that it names, must be readable by its owner alone and not be where
 * the program could change it. No error shows a value.
 * @throws OpenShellError `invalid_argument` with every violation, each with its line; `failed_precondition` when the file is not safe.
 */
export function readCredentialFile(path: string, context: CredentialFileContext): CredentialSet {
  const text = readGuarded(path, MAX_FILE_BYTES, context).toString("utf8");
  const yaml = readYaml(text);
  // The parser's own words may quote what it stumbled over.
  if (Array.isArray(yaml))
    throw invalid(
      path,
      yaml.map((violation) => ({ ...violation, message: "cannot be read as YAML" })),
    );
  const read = v.safeParse(authoredCredentials, yaml.value);
  const violations: Violation[] = [];
  const report = (field: string, message: string) => violations.push({ field, message, ...yaml.locate(field) });
  if (!read.success) {
    for (const { path: at, message, type, expected } of read.issues) {
      const unknown = type === "strict_object" && expected === "never";
      const missing = type === "strict_object" && expected !== "never" && expected !== "Object";
      const field = fieldPath((at ?? []).map(({ key }) => key as string | number)) || "document";
      report(field, unknown ? "is not a known field" : missing ? "is missing" : message);
    }
    throw invalid(path, violations);
  }
  const credentials = Object.entries(read.output.credentials).flatMap(([key, authored]) => {
    const field = fieldPath(["credentials", key]);
    const before = violations.length;
    const credential = toCredential(key, authored, path, context, (name, message) =>
      report(name === "" ? field : `${field}.${name}`, message),
    );
    return violations.length === before ? [credential] : [];
  });
  if (violations.length > 0) throw invalid(path, violations);
  return new CredentialSet(credentials);
}

type Report = (field: string, message: string) => void;

function toCredential(key: string, authored: AuthoredCredential, path: string, context: CredentialFileContext, report: Report): Credential {
  if (!KEY.test(key)) report("", "is not the name of a variable: letters, digits and _, at most 256");
  else if (RESERVED.test(key)) report("", "is a variable that OpenShell or the runtime of programs uses");
  const { provider = key.toLowerCase(), alias, endpoints = [] } = authored;
  if (alias !== undefined && !ALIAS.test(alias)) report("alias", "must be letters, digits, _ and -, at most 32");
  if (endpoints.length === 0 && authored.provider === undefined)
    report("endpoints", "is missing: name the servers, or a provider that endpoints of the policy name in credential_binding");
  const secret = readSecret(authored, path, context, report);
  const problem = secret === undefined ? undefined : secretProblem(secret);
  if (problem !== undefined) report("", `has a value that ${problem}`);
  return {
    key,
    secret: secret ?? "",
    provider,
    slots: toSlots(key, authored.slots, report),
    endpoints: endpoints.map(({ host, port, ports = port === undefined ? [443] : [port], path: pattern = "" }, i) => {
      const name = host.toLowerCase();
      const wrong = hostProblem(name);
      if (wrong !== undefined) report(`endpoints[${i}].host`, wrong);
      if (pattern !== "" && !pattern.startsWith("/")) report(`endpoints[${i}].path`, "must start with /");
      return { host: name, ports, path: pattern };
    }),
    ...(alias === undefined ? {} : { alias }),
  };
}

/** Exactly one source; nothing of it in a message. */
function readSecret(
  { env, file, value }: AuthoredCredential,
  path: string,
  context: CredentialFileContext,
  report: Report,
): string | undefined {
  const sources = [env, file, value].filter((source) => source !== undefined);
  if (sources.length !== 1) {
    report("", "needs exactly one of env, file and value");
    return undefined;
  }
  if (value !== undefined) return value;
  if (env !== undefined) {
    const found = context.environment[env];
    if (found === undefined || found === "") report("env", "names a variable that is not set");
    return found;
  }
  try {
    return readGuarded(resolve(dirname(path), file ?? ""), MAX_SECRET_FILE_BYTES, context)
      .toString("utf8")
      .replace(/\r?\n$/, "");
  } catch (error) {
    report("file", OpenShellError.from(error).message);
    return undefined;
  }
}

function toSlots(key: string, authored: readonly AuthoredSlot[] | undefined, report: Report): readonly Slot[] {
  const usual = slotsOf(key);
  if (authored === undefined) return usual;
  if (usual.some(({ kind }) => kind === "sigv4")) {
    report("slots", "does not go with a key of AWS, which only signs (credential_signing)");
    return usual;
  }
  return authored.map((slot, i): Slot => {
    if ("query" in slot) return { kind: "query", name: slot.query };
    if ("path" in slot) {
      const parts = slot.path.split(TEMPLATE_MARK).length;
      if (!slot.path.startsWith("/") || parts !== 2) report(`slots[${i}].path`, `must start with / and have ${TEMPLATE_MARK} once`);
      return { kind: "path", template: slot.path };
    }
    const name = slot.header.toLowerCase();
    if (!FIELD_NAME.test(name)) report(`slots[${i}].header`, "is not the name of a header field");
    const schemes = slot.schemes?.map((scheme) => scheme.toLowerCase()) ?? (name === "authorization" ? TOKEN_SCHEMES : [""]);
    return { kind: "header", name, schemes };
  });
}

/** A regular file of root or ours that nobody else can read, and that the program in the box cannot change. */
function readGuarded(path: string, limit: number, { isWritable }: CredentialFileContext): Buffer {
  if (isWritable(path))
    throw unsafe(`${path} is inside a path that the program may write`, "move it out of the read_write paths and mounts");
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    throw new OpenShellError("invalid_argument", `cannot read ${path}`, { cause, next: "name a readable file" });
  }
  try {
    const { mode, uid, size } = fstatSync(fd);
    if ((mode & 0o170_000) !== 0o100_000) throw unsafe(`${path} is not a regular file`, "name a regular file");
    if (uid !== 0 && uid !== process.getuid?.()) throw unsafe(`${path} belongs to another user`, `chown it to the user who runs openshell`);
    if ((mode & 0o077) !== 0) throw unsafe(`${path} can be read or changed by other users`, `chmod 600 ${path}`);
    if (size > limit) throw unsafe(`${path} is ${size} bytes, at most ${limit} are accepted`, "name a smaller file");
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

function unsafe(message: string, next: string): OpenShellError {
  return new OpenShellError("failed_precondition", message, { next });
}

function invalid(path: string, violations: readonly Violation[]): OpenShellError {
  return new OpenShellError("invalid_argument", `credentials ${path} are not valid`, { violations, next: "see docs/credentials.md" });
}
