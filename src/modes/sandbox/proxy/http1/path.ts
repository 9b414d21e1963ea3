import { HeadError } from "./refused.ts";

/** Longer paths are answered 414; servers accept 4–8 KiB. */
export const MAX_PATH_BYTES = 4096;

/** RFC 3986 section 2.3: decoding these changes nothing. */
const UNRESERVED = /[A-Za-z0-9\-._~]/;
const ESCAPE = /%([0-9A-Fa-f]{2})?/g;

/**
 * The one spelling of a path in origin-form that is decided on and sent upstream: escapes of unreserved characters decoded, others in upper
 * case, dot segments resolved, empty segments and `;parameters` dropped. Throws (400) on what has no single reading: bad escapes, encoded
 * control bytes or backslashes, `..` above the root, dot segments that appear when a server decodes `%2F`, or twice. Other `%2F` stay as they are.
 */
export function canonicalPath(path: string): string {
  if (path === "*") return path;
  if (!path.startsWith("/")) throw new HeadError(400, "target", "the request target is not a path");
  if (path.length > MAX_PATH_BYTES)
    throw new HeadError(414, "path_too_long", `path of ${path.length} bytes, at most ${MAX_PATH_BYTES} are accepted`);
  if (PLAIN.test(path) && !path.includes("/.") && !path.includes("//")) return path;
  const kept: string[] = [];
  const raw = path.slice(1).split("/");
  let directory = false;
  for (const [index, text] of raw.entries()) {
    const segment = canonicalSegment(text);
    directory = index === raw.length - 1 && (segment === "" || segment === "." || segment === "..");
    if (segment === "" || segment === ".") continue;
    if (segment !== "..") kept.push(segment);
    else if (kept.pop() === undefined) throw new HeadError(400, "path_above_root", "the path leaves the root");
  }
  return `/${kept.join("/")}${directory && kept.length > 0 ? "/" : ""}`;
}

/** Nothing in it that any step below would change, dots and empty segments aside. */
const PLAIN = /^[A-Za-z0-9\-._~/!$&'()*+,=:@]*$/;

function canonicalSegment(text: string): string {
  const parameters = text.indexOf(";");
  const segment = (parameters < 0 ? text : text.slice(0, parameters)).replace(ESCAPE, canonicalEscape);
  if (OVERLONG.test(segment)) throw new HeadError(400, "path_encoding", "an ASCII character hidden in UTF-8 that is too long");
  if (segment.includes("%") && isHiddenDots(segment)) throw new HeadError(400, "path_encoding", "dot segment hidden by encoding");
  return segment;
}

function canonicalEscape(encoded: string, hex: string | undefined): string {
  if (hex === undefined) throw new HeadError(400, "path_encoding", "percent sign that is no escape in the path");
  const code = Number.parseInt(hex, 16);
  if (code < 0x20 || code === 0x7f || code === 0x5c) throw new HeadError(400, "path_encoding", `${encoded} in the path`);
  const character = String.fromCharCode(code);
  return UNRESERVED.test(character) ? character : encoded.toUpperCase();
}

/** Longer UTF-8 than a character below 0x80 has: old decoders read dots and slashes out of it (RFC 3629 section 10). */
const OVERLONG = /%C[01]%[89AB]|%E0%8[01]%[89AB]|%F0%80%8[01]%[89AB]|%F8%80%80|%FC%80%80/;

/** A server that decodes again would see `..` or a separator next to dots. */
function isHiddenDots(segment: string): boolean {
  let text = segment;
  for (let round = 0; round < MAX_DECODING_ROUNDS && text.includes("%"); round++)
    text = text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return /(?:^|[/\\])\.{1,2}(?:$|[/\\;])/.test(text);
}

/** No server decodes more often. */
const MAX_DECODING_ROUNDS = 3;
