import { createHash } from "node:crypto";
import { OpenShellError } from "../../../error.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;
/** A page ends early at this size, so that an answer stays below the 3 MiB that clients read. */
export const MAX_PAGE_BYTES = 2 * 1024 * 1024;

/** 0 means 100, more than 1,000 means 1,000. */
export function pageSize(requested: number): number {
  if (requested < 0) throw invalid("page_size", "must not be negative");
  return requested === 0 ? DEFAULT_PAGE : Math.min(requested, MAX_PAGE);
}

/** An opaque token that holds a position and is bound to the request's other parameters. */
export function pageToken(position: readonly string[], parameters: readonly string[]): string {
  return Buffer.from(JSON.stringify([bind(parameters), ...position])).toString("base64url");
}

/** The position in a token; undefined for the first page. Throws `invalid_argument` for a token of other parameters. */
export function readPageToken(token: string, parameters: readonly string[]): string[] | undefined {
  if (token === "") return undefined;
  const parsed = parse(token);
  if (parsed === undefined || parsed[0] !== bind(parameters))
    throw invalid("page_token", "does not belong to a list with these parameters");
  return parsed.slice(1);
}

function parse(token: string): string[] | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    return Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined;
  } catch {
    return undefined;
  }
}

function bind(parameters: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parameters)).digest("base64url").slice(0, 22);
}

function invalid(field: string, message: string): OpenShellError {
  return new OpenShellError("invalid_argument", `${field} ${message}`, { violations: [{ field, message }] });
}
