import type { Violation } from "../error.ts";
import { allowedIpProblem } from "./allowed-ips.ts";
import { fieldPath, type Path } from "./field-path.ts";
import { MAX_PORT } from "./limits.ts";
import type { Endpoint } from "./model.ts";
import { deniedPathProblem, pathSpellingProblem, textPatternProblem } from "./request-patterns.ts";
import { hostProblem } from "./validate-host.ts";
import { validateProtocol } from "./validate-protocol.ts";
import { isInspected, validateRequestRules } from "./validate-rules.ts";

const TLS_MODES = new Set(["", "skip", "terminate", "passthrough"]);
const ENFORCEMENTS = new Set(["", "enforce", "audit"]);
const PRESETS = new Set(["", "read-only", "read-write", "full"]);
const SIGNINGS = new Set(["", "sigv4", "sigv4:body", "sigv4:no_body"]);
const PERSISTED_MODES = new Set(["", "deny", "allow_registered"]);

/** One endpoint: where it leads (host, ports, addresses), then what its protocol allows and needs. */
export function* validateEndpoint(endpoint: Endpoint, at: Path): Generator<Violation> {
  const field = fieldPath(at);
  if (endpoint.host === "") {
    if (endpoint.allowedIps.length === 0)
      yield { field: `${field}.host`, message: "is missing: give a host, or allowed_ips for an endpoint without one" };
  } else {
    const problem = hostProblem(endpoint.host);
    if (problem !== undefined) yield { field: `${field}.host`, message: `'${endpoint.host.slice(0, 80)}' ${problem}` };
  }
  yield* validatePorts(endpoint, field);
  for (const [i, entry] of endpoint.allowedIps.entries()) {
    const problem = allowedIpProblem(entry);
    if (problem !== undefined) yield { field: `${field}.allowed_ips[${i}]`, message: problem };
  }
  if (endpoint.path !== "" && endpoint.path !== "**" && !endpoint.path.startsWith("/")) {
    yield { field: `${field}.path`, message: `'${endpoint.path}' must start with / or be **` };
  }
  // A selector that no request has would leave what it is about to wider endpoints.
  const selectorProblem = textPatternProblem(endpoint.path) ?? pathSpellingProblem(endpoint.path) ?? deniedPathProblem(endpoint.path);
  if (selectorProblem !== undefined) yield { field: `${field}.path`, message: `'${endpoint.path.slice(0, 80)}' ${selectorProblem}` };
  yield* unknown(`${field}.tls`, endpoint.tls, TLS_MODES);
  yield* unknown(`${field}.enforcement`, endpoint.enforcement, ENFORCEMENTS);
  yield* unknown(`${field}.access`, endpoint.access, PRESETS);
  yield* unknown(`${field}.persisted_queries`, endpoint.persistedQueries, PERSISTED_MODES);
  yield* unknown(`${field}.credential_signing`, endpoint.credentialSigning, SIGNINGS);
  yield* validateProtocol(endpoint, field);
  yield* validateCredentials(endpoint, field);
  if (isInspected(endpoint.protocol)) yield* validateRequestRules(endpoint, at);
}

function* validatePorts({ ports }: Endpoint, field: string): Generator<Violation> {
  if (ports.length === 0) yield { field: `${field}.port`, message: "is missing: give port or ports" };
  for (const [i, port] of ports.entries()) {
    if (Number.isInteger(port) && port >= 1 && port <= MAX_PORT) continue;
    yield {
      field: ports.length === 1 ? `${field}.port` : `${field}.ports[${i}]`,
      message: `${port} is not a port: expected 1 to ${MAX_PORT}`,
    };
  }
}

function* validateCredentials(endpoint: Endpoint, field: string): Generator<Violation> {
  if (endpoint.credentialSigning !== "") {
    if (endpoint.signingService === "")
      yield { field: `${field}.signing_service`, message: "is missing: credential_signing needs the service that is signed for" };
    if (endpoint.requestBodyCredentialRewrite) {
      yield {
        field: `${field}.credential_signing`,
        message: "cannot be combined with request_body_credential_rewrite: the signature covers the body",
      };
    }
  }
  if (endpoint.credentialBinding?.provider === "") yield { field: `${field}.credential_binding.provider`, message: "is missing" };
}

function* unknown(field: string, value: string, known: ReadonlySet<string>): Generator<Violation> {
  if (known.has(value)) return;
  const words = [...known].filter((word) => word !== "").join(", ");
  yield { field, message: `'${value}' is not known: expected one of ${words}` };
}
