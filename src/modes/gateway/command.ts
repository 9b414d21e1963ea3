import { existsSync, readFileSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { defineCommand } from "../../command/define.ts";
import { usageError } from "../../command/usage-error.ts";
import { OpenShellError } from "../../error.ts";
import { configDirectory, DEFAULT_GATEWAY_PORT, stateDirectory, systemGatewayDirectory } from "../../paths.ts";
import { MAX_ID } from "../../policy/limits.ts";
import { surviveTransportFaults } from "../../rpc/transport-faults.ts";
import { UPSTREAM_PROXY_ARGS, upstreamProxyOption } from "../../upstream-proxy/flags.ts";
import { LOG_LEVELS, type LogLevel } from "./log.ts";
import { DEFAULT_UID_RANGE, type UidRange } from "./options.ts";
import { checkCidr, checkDomain } from "./sandboxes/validate-spec.ts";
import { serveGateway } from "./serve.ts";

const PATH = ["gateway", "serve"];

/** `openshell gateway serve`: the control plane, in the foreground. */
export const serveCommand = defineCommand({
  meta: {
    name: "serve",
    description: "Run the gateway on this machine, in the foreground",
    examples: [
      "openshell gateway serve",
      "openshell gateway serve --port 0 --state-dir /tmp/trial",
      "openshell gateway serve --allow-mount /srv/projects --trusted-cidr 10.0.0.0/8",
    ],
  },
  args: {
    port: {
      type: "string",
      valueHint: "PORT",
      integer: { min: 0, max: 65_535, default: DEFAULT_GATEWAY_PORT },
      env: "OPENSHELL_SERVER_PORT",
      description: "Port of the API; 0 takes any free one",
    },
    "bind-address": {
      type: "string",
      valueHint: "ADDRESS",
      env: "OPENSHELL_BIND_ADDRESS",
      description: "Address to listen on; else 127.0.0.1 and ::1",
    },
    "state-dir": { type: "string", valueHint: "DIR", description: "Where everything of the gateway and its sandboxes is kept" },
    "disable-tls": {
      type: "boolean",
      default: false,
      env: "OPENSHELL_DISABLE_TLS",
      description: "Plaintext, on loopback only: every local user may call",
    },
    "uid-range": {
      type: "string",
      valueHint: "FIRST-LAST",
      default: `${DEFAULT_UID_RANGE.first}-${DEFAULT_UID_RANGE.last}`,
      description: "User ids that sandboxes run as, one each",
    },
    "allow-uid": {
      type: "string",
      valueHint: "UID",
      multiple: true,
      description: "User ids of this machine that policies may name in process.run_as_user",
    },
    "trusted-cidr": {
      type: "string",
      valueHint: "CIDR",
      multiple: true,
      description: "Private addresses that allowed names may resolve to",
    },
    "internal-domain": {
      type: "string",
      valueHint: "SUFFIX",
      multiple: true,
      description: "Names that may be resolved to find private addresses",
    },
    "upstream-ca": {
      type: "string",
      valueHint: "FILE",
      env: "OPENSHELL_UPSTREAM_CA",
      description: "Authorities (PEM) that servers may be certified by, beside the system's",
    },
    ...UPSTREAM_PROXY_ARGS,
    "allow-mount": {
      type: "string",
      valueHint: "PREFIX",
      multiple: true,
      description: "Paths of the host that sandboxes may mount or name in policies",
    },
    "log-level": {
      type: "enum",
      options: LOG_LEVELS,
      default: "info",
      env: "OPENSHELL_LOG_LEVEL",
      description: "Least important line of the log on stderr",
    },
  },
  async run({ args }) {
    const isRoot = process.getuid?.() === 0;
    if (!isRoot && args["allow-uid"].length > 0) {
      throw usageError("'--allow-uid' is for root's gateway: sandboxes of an ordinary user run as that user", PATH);
    }
    surviveTransportFaults();
    const state = args["state-dir"];
    const system = isRoot && state === undefined && process.env["XDG_STATE_HOME"] === undefined ? systemGatewayDirectory() : undefined;
    const gateway = await serveGateway({
      port: args.port,
      ...(args["bind-address"] === undefined ? {} : { bindAddress: args["bind-address"] }),
      stateDirectory: state === undefined ? stateDirectory() : resolve(state),
      configDirectory: configDirectory(),
      ...(system === undefined ? {} : { systemDirectory: system }),
      disableTls: args["disable-tls"],
      uidRange: parseUidRange(args["uid-range"]),
      allowedUids: checked("--allow-uid", args["allow-uid"], checkUid).map(Number),
      trustedCidrs: checked("--trusted-cidr", args["trusted-cidr"], checkCidr),
      internalDomains: checked("--internal-domain", args["internal-domain"], checkDomain),
      ...(args["upstream-ca"] === undefined ? {} : { upstreamCa: checkCertificates("--upstream-ca", args["upstream-ca"]) }),
      ...upstreamProxyOption(args),
      allowedMounts: checked("--allow-mount", args["allow-mount"], checkAbsolute),
      logLevel: args["log-level"] as LogLevel,
    });
    const stopped = stopSignal();
    const loopback = args["bind-address"] === undefined ? " (127.0.0.1 and ::1)" : "";
    process.stdout.write(`openshell gateway ready on ${gateway.endpoint}${loopback}\n`);
    await stopped;
    await gateway.close();
    return 0;
  },
});

/** `FIRST-LAST`, both above 0 and below what the kernel means by "no id". */
export function parseUidRange(text: string): UidRange {
  const match = /^(\d{1,10})-(\d{1,10})$/.exec(text);
  const [first, last] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || first < 1 || last > 4_294_967_294 || first > last) {
    throw usageError(`'--uid-range' is '${text}', expected FIRST-LAST within 1 and 4294967294, such as 2000000000-2000065535`, PATH);
  }
  return { first, last };
}

function checked(flag: string, values: readonly string[] | undefined, check: (field: string, value: string) => void): readonly string[] {
  for (const value of values ?? []) {
    try {
      check(flag, value);
    } catch (error) {
      throw usageError(OpenShellError.from(error).message, PATH);
    }
  }
  return values ?? [];
}

/** The absolute path of a file that sandboxes will read; the gateway says at once when they could not. */
function checkCertificates(flag: string, path: string): string {
  const file = resolve(path);
  if (existsSync(file) && readFileSync(file, "utf8").includes("-----BEGIN CERTIFICATE-----")) return file;
  throw usageError(`${flag}: ${file} holds no certificate in PEM form`, PATH);
}

function checkUid(flag: string, text: string): void {
  const uid = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : 0;
  if (uid < 1 || uid > MAX_ID) throw usageError(`'${flag}' is '${text}', expected a number from 1 to ${MAX_ID}`, PATH);
}

function checkAbsolute(flag: string, path: string): void {
  if (!isAbsolute(path)) throw usageError(`'${flag}' is '${path}', expected an absolute path`, PATH);
}

function stopSignal(): Promise<void> {
  return new Promise((done) => {
    for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(name, () => done());
  });
}
