import { resolve } from "node:path";
import { readUpstreamProxy, type UpstreamProxySettings, upstreamProxySettings } from "./settings.ts";

/** The flags of every command that starts sandboxes. */
export const UPSTREAM_PROXY_ARGS = {
  "upstream-proxy": {
    type: "string",
    valueHint: "URL",
    env: "OPENSHELL_UPSTREAM_PROXY",
    description: "Proxy of this network, http(s)://HOST:PORT, that sandboxes leave by; never past it",
  },
  "upstream-proxy-auth-file": {
    type: "string",
    valueHint: "FILE",
    env: "OPENSHELL_UPSTREAM_PROXY_AUTH_FILE",
    description: "USER:PASSWORD for that proxy, readable by its owner alone",
  },
  "upstream-no-proxy": {
    type: "string",
    valueHint: "LIST",
    env: "OPENSHELL_UPSTREAM_NO_PROXY",
    description: "Domains, addresses and CIDRs, with commas, that are dialled directly all the same",
  },
} as const;

type Flag = keyof typeof UPSTREAM_PROXY_ARGS;

/**
 * What these flags say, ready to be spread into options; checked whole, so that a start with a proxy that cannot be used fails at once.
 * @throws OpenShellError `invalid_argument`
 */
export function upstreamProxyOption(args: { readonly [name in Flag]?: string | undefined }): {
  readonly upstreamProxy?: UpstreamProxySettings;
} {
  const file = args["upstream-proxy-auth-file"];
  const settings = upstreamProxySettings(args["upstream-proxy"], file === undefined ? undefined : resolve(file), args["upstream-no-proxy"]);
  if (settings === undefined) return {};
  readUpstreamProxy(settings);
  return { upstreamProxy: settings };
}
