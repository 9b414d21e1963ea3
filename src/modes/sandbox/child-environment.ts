import { trustEnvironment } from "./proxy/tls/trust-files.ts";

/** Address of the explicit proxy inside the box, the one that existing images and tools expect. */
export const PROXY_URL = "http://10.200.0.1:3128";

/** Loopback of the box itself is reached directly. */
const NO_PROXY = "127.0.0.1,localhost,::1";

/** What a program inside may know of the host's environment. */
const INHERITED = /^(PATH|LANG|LC_[A-Z]+|TERM|TZ)$/;

const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin";

export interface ChildIdentity {
  readonly sandboxName: string;
  readonly sandboxId: string;
  readonly workspace: string;
  /** Where programs inside reach the gateway; absent: there is none. */
  readonly endpoint?: string;
}

/** The environment of every program in the box: an allow-list of the host's, the proxy, who it is, and what the user added. */
export function childEnvironment(
  identity: ChildIdentity,
  user: Readonly<Record<string, string>> = {},
  host: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const environment: Record<string, string> = { PATH: DEFAULT_PATH };
  for (const [name, value] of Object.entries(host)) {
    if (value !== undefined && INHERITED.test(name)) environment[name] = value;
  }
  Object.assign(environment, { HOME: "/sandbox", USER: "sandbox", LOGNAME: "sandbox", SHELL: "/bin/bash" }, user);
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "grpc_proxy"]) environment[name] = PROXY_URL;
  environment["NO_PROXY"] = NO_PROXY;
  environment["no_proxy"] = NO_PROXY;
  environment["NODE_USE_ENV_PROXY"] = "1";
  Object.assign(environment, trustEnvironment());
  environment["OPENSHELL_SANDBOX"] = "1";
  environment["OPENSHELL_SANDBOX_NAME"] = identity.sandboxName;
  environment["NEMOCLAW_SANDBOX_NAME"] = identity.sandboxName;
  environment["OPENSHELL_WORKSPACE"] = identity.workspace;
  if (identity.sandboxId) {
    environment["OPENSHELL_SANDBOX_ID"] = identity.sandboxId;
    environment["NAVIGATOR_SANDBOX_ID"] = identity.sandboxId;
  }
  if (identity.endpoint !== undefined) {
    environment["OPENSHELL_ENDPOINT"] = identity.endpoint;
    environment["NAVIGATOR_ENDPOINT"] = identity.endpoint;
  }
  return environment;
}
