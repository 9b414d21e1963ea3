import { OpenShellError } from "../../../error.ts";

/** The first parts of a flag such as `api.example.com:443:read-only`, and what follows them. */
export interface Destination {
  readonly host: string;
  readonly port: number;
  readonly rest: readonly string[];
}

/**
 * Reads `HOST:PORT[:…]`; an IPv6 address stands in brackets. `parts` is how many further parts there may be; the last one takes what is
 * left, colons included. Errors name the flag and its form.
 */
export function parseDestination(flag: string, text: string, form: string, parts: number): Destination {
  const match = /^(\[[^\]]+\]|[^:]+):(\d{1,5})(?::(.*))?$/s.exec(text);
  const port = Number(match?.[2]);
  if (match?.[1] === undefined || port < 1 || port > 65_535) throw wrong(flag, text, form);
  const given = match[3] === undefined ? [] : match[3].split(":");
  const rest = given.length > parts && parts > 0 ? [...given.slice(0, parts - 1), given.slice(parts - 1).join(":")] : given;
  if (rest.length > parts) throw wrong(flag, text, form);
  return { host: match[1].replace(/^\[|\]$/g, "").toLowerCase(), port, rest };
}

function wrong(flag: string, text: string, form: string): OpenShellError {
  return new OpenShellError("invalid_argument", `'${flag}' is '${text}', expected ${form}`);
}
