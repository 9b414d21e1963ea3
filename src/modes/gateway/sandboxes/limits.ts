import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";

/** Limits of the published gateway (names in its errors are the fields of the request). */
export const MAX_ENTRIES = 128;
export const MAX_KEY_LENGTH = 256;
export const MAX_VALUE_LENGTH = 8192;
export const MAX_TEMPLATE_STRING = 1024;
export const MAX_STRUCT_BYTES = 65_536;
export const MAX_PROVIDERS = 32;
export const MAX_LOG_LEVEL_LENGTH = 32;
export const MAX_MAIN_ARGS = 256;
export const MAX_MAIN_ARGV_BYTES = 262_144;
export const MAX_LABEL_NAME = 63;
export const MAX_LABEL_PREFIX = 253;
export const MAX_MOUNTS = 64;
export const MAX_CIDRS = 256;

export const MAX_EXEC_ARGS = 1024;
export const MAX_EXEC_ARG_BYTES = 32_768;
export const MAX_WORKDIR_LENGTH = 4096;
/** Linux takes at most 128 KiB for one `NAME=value`, its NUL included; a value has this minus the name minus two bytes. */
export const MAX_ENVIRONMENT_STRING = 131_071;
/** All variables of one exec. */
export const MAX_EXEC_ENVIRONMENT_BYTES = 1024 * 1024;
/** The whole argv of one exec, so that arguments and environment together stay below what execve takes. */
export const MAX_EXEC_ARGV_BYTES = 1024 * 1024;
/** One-shot stdin of ExecSandbox, as the published CLI cuts it. */
export const MAX_EXEC_STDIN_BYTES = 4 * 1024 * 1024;

/** Throws `invalid_argument` with both numbers. */
export function atMost(field: string, actual: number, maximum: number, unit: string): void {
  if (actual <= maximum) return;
  const message = `${field} exceeds maximum: ${actual} ${unit}, at most ${maximum} are accepted`;
  throw new OpenShellError("invalid_argument", message, { violations: [{ field, message }] });
}

export function invalid(field: string, message: string): OpenShellError {
  return new OpenShellError("invalid_argument", `${field}: ${message}`, { violations: [{ field, message }] });
}

/** A map of strings: how many, how long. */
export function checkEntries(field: string, entries: Readonly<Record<string, string>>): void {
  const pairs = Object.entries(entries);
  atMost(field, pairs.length, MAX_ENTRIES, "entries");
  for (const [key, value] of pairs) {
    if (key === "") throw invalid(field, "a key is empty");
    atMost(`${field} key`, key.length, MAX_KEY_LENGTH, "characters");
    atMost(`${field}[${key}]`, value.length, MAX_VALUE_LENGTH, "characters");
  }
}

/** Kubernetes-style labels, so that one selector works for every driver. */
export function checkLabels(field: string, labels: Readonly<Record<string, string>>): void {
  checkEntries(field, labels);
  for (const [key, value] of Object.entries(labels)) {
    const slash = key.lastIndexOf("/");
    const name = key.slice(slash + 1);
    if (slash >= 0) atMost(`${field} key prefix`, slash, MAX_LABEL_PREFIX, "characters");
    atMost(`${field} key name`, name.length, MAX_LABEL_NAME, "characters");
    atMost(`${field}[${key}]`, value.length, MAX_LABEL_NAME, "characters");
    const word = /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/;
    if (!word.test(name) || (slash >= 0 && !/^[a-z0-9.-]+$/.test(key.slice(0, slash)))) throw invalid(field, `'${key}' is not a label key`);
    if (value !== "" && !word.test(value)) throw invalid(`${field}[${key}]`, `'${value}' is not a label value`);
  }
}

/** What a Timestamp may hold, by its definition: the years 1 to 9999. Seconds since 1970. */
const [FIRST_SECOND, LAST_SECOND] = [-62_135_596_800n, 253_402_300_799n];

/** Milliseconds since 1970. Throws for a time that no calendar has. */
export function checkedTime(field: string, time: Timestamp): number {
  if (time.seconds < FIRST_SECOND || time.seconds > LAST_SECOND) throw invalid(field, "is not a time from year 1 to 9999");
  return timestampMs(time);
}

export function checkNoNul(field: string, text: string): void {
  if (text.includes("\0")) throw invalid(field, "contains a NUL byte");
}
