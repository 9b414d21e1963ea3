import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { OpenShellError } from "../error.ts";
import { NoProxyList } from "./no-proxy.ts";

/** The proxy of the network that sandboxes are in, as an operator names it; data that a gateway passes to its sandboxes. */
export interface UpstreamProxySettings {
  /** `http://HOST:PORT` or `https://HOST:PORT`, without credentials. */
  readonly url: string;
  /** One line `USER:PASSWORD`, readable by its owner alone. */
  readonly authFile?: string;
  /** What is dialled directly all the same; see `NoProxyList`. */
  readonly noProxy: readonly string[];
}

/** The same, checked and read. */
export interface UpstreamProxyPlan {
  /** How it is spoken to; `https`: inside TLS, its certificate verified. */
  readonly scheme: "http" | "https";
  /** Name or address, canonical, without brackets. */
  readonly host: string;
  readonly port: number;
  /** Value of Proxy-Authorization. */
  readonly authorization?: string;
  readonly direct: NoProxyList;
}

/** A user name and a password; longer is another file. */
const MAX_AUTH_BYTES = 4096;

/** Three flags to settings; undefined: no proxy. Flags that mean nothing without it are an error, so that nothing goes out directly by mistake. */
export function upstreamProxySettings(
  url: string | undefined,
  authFile: string | undefined,
  noProxy: string | undefined,
): UpstreamProxySettings | undefined {
  const list = (noProxy ?? "")
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
  if (url !== undefined) return { url, ...(authFile === undefined ? {} : { authFile }), noProxy: list };
  if (authFile === undefined && noProxy === undefined) return undefined;
  throw new OpenShellError(
    "invalid_argument",
    `--upstream-${authFile === undefined ? "no-proxy" : "proxy-auth-file"} says how to use an upstream proxy, and there is none`,
    { next: "add --upstream-proxy http://HOST:PORT" },
  );
}

/** @throws OpenShellError saying which setting is wrong; a sandbox does not start with a proxy that it could not use. */
export function readUpstreamProxy({ url, authFile, noProxy }: UpstreamProxySettings): UpstreamProxyPlan {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed !== undefined && (parsed.username !== "" || parsed.password !== ""))
    throw invalid(
      "holds a user name or password, which everybody on the machine could read",
      "put USER:PASSWORD into a file: --upstream-proxy-auth-file FILE",
    );
  const scheme = parsed?.protocol === "http:" ? "http" : parsed?.protocol === "https:" ? "https" : undefined;
  if (
    parsed === undefined ||
    scheme === undefined ||
    parsed.hostname === "" ||
    parsed.pathname !== "/" ||
    parsed.search !== "" ||
    parsed.hash !== ""
  )
    throw invalid(`'${url}' is not http://HOST:PORT or https://HOST:PORT`, "example: --upstream-proxy http://proxy.corp.example:3128");
  const port = parsed.port === "" ? { http: 80, https: 443 }[scheme] : Number(parsed.port);
  const authorization = authFile === undefined ? undefined : `Basic ${Buffer.from(readAuthFile(authFile)).toString("base64")}`;
  return {
    scheme,
    host: parsed.hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, ""),
    port,
    ...(authorization === undefined ? {} : { authorization }),
    direct: new NoProxyList(noProxy),
  };
}

/** For clients that speak to proxies themselves: what leads to a host, `undefined` where it is dialled directly. */
export function routeThrough(plan: UpstreamProxyPlan) {
  const { scheme, host, port, authorization, direct } = plan;
  const url = `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  const route = { url, ...(authorization === undefined ? {} : { authorization }) };
  return (name: string, at: number) => (direct.has(name, at) ? undefined : route);
}

function readAuthFile(path: string): string {
  const problem = (what: string, next: string) =>
    new OpenShellError("invalid_argument", `--upstream-proxy-auth-file ${path} ${what}`, { next });
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw problem(`cannot be read: ${OpenShellError.from(error).message}`, "name a file with one line USER:PASSWORD");
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > MAX_AUTH_BYTES)
      throw problem(`is no file of at most ${MAX_AUTH_BYTES} bytes`, "name a file with one line USER:PASSWORD");
    if ((stat.mode & 0o077) !== 0) throw problem("can be read by others", `chmod 600 ${path}`);
    const line = readFileSync(fd, "utf8").replace(/\r?\n$/, "");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
    if (!/^[^:\x00-\x1f\x7f]+:[^\x00-\x1f\x7f]*$/.test(line))
      throw problem("is not one line USER:PASSWORD", "write the user name, a colon and the password");
    return line;
  } finally {
    closeSync(fd);
  }
}

function invalid(what: string, next: string): OpenShellError {
  return new OpenShellError("invalid_argument", `--upstream-proxy ${what}`, { next });
}
