import { create } from "@bufbuild/protobuf";
import {
  NetworkAccessPreset,
  type NetworkEndpoint,
  NetworkEndpointSchema,
  NetworkEnforcementMode,
  NetworkTlsMode,
} from "../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { fieldPath, type Path } from "./field-path.ts";
import type { Report } from "./from-authored.ts";
import type { AccessPreset, Endpoint, Enforcement, McpOptions, Protocol, TlsMode } from "./model.ts";
import { canonicalHost, distinct } from "./normalise.ts";
import { mapValues, requestRuleFromProto, requestRuleToProto } from "./proto-rules.ts";

const TLS: Readonly<Record<TlsMode, NetworkTlsMode>> = {
  "": NetworkTlsMode.UNSPECIFIED,
  skip: NetworkTlsMode.SKIP,
  terminate: NetworkTlsMode.TERMINATE,
  passthrough: NetworkTlsMode.PASSTHROUGH,
};
const ENFORCEMENT: Readonly<Record<Enforcement, NetworkEnforcementMode>> = {
  "": NetworkEnforcementMode.UNSPECIFIED,
  enforce: NetworkEnforcementMode.ENFORCE,
  audit: NetworkEnforcementMode.AUDIT,
};
const ACCESS: Readonly<Record<AccessPreset, NetworkAccessPreset>> = {
  "": NetworkAccessPreset.UNSPECIFIED,
  "read-only": NetworkAccessPreset.READ_ONLY,
  "read-write": NetworkAccessPreset.READ_WRITE,
  full: NetworkAccessPreset.FULL,
};

/** `ports` holds all ports; `port` repeats the first for clients that know only one. */
export function endpointToProto(endpoint: Endpoint): NetworkEndpoint {
  const { mcp, credentialBinding } = endpoint;
  return create(NetworkEndpointSchema, {
    host: endpoint.host,
    port: endpoint.ports[0] ?? 0,
    ports: [...endpoint.ports],
    protocol: endpoint.protocol,
    tls: TLS[endpoint.tls],
    enforcement: ENFORCEMENT[endpoint.enforcement],
    access: ACCESS[endpoint.access],
    rules: endpoint.rules.map((rule) => ({ allow: requestRuleToProto(rule) })),
    denyRules: endpoint.denyRules.map(requestRuleToProto),
    allowedIps: [...endpoint.allowedIps],
    path: endpoint.path,
    allowEncodedSlash: endpoint.allowEncodedSlash,
    websocketCredentialRewrite: endpoint.websocketCredentialRewrite,
    requestBodyCredentialRewrite: endpoint.requestBodyCredentialRewrite,
    allowUninspectedCredentials: endpoint.allowUninspectedCredentials,
    persistedQueries: endpoint.persistedQueries,
    graphqlPersistedQueries: mapValues(endpoint.graphqlPersistedQueries, (operation) => ({ ...operation, fields: [...operation.fields] })),
    graphqlMaxBodyBytes: endpoint.graphqlMaxBodyBytes,
    jsonRpcMaxBodyBytes: endpoint.jsonRpcMaxBodyBytes,
    ...(mcp && { mcp: { ...mcp } }),
    credentialSigning: endpoint.credentialSigning,
    signingService: endpoint.signingService,
    signingRegion: endpoint.signingRegion,
    ...(credentialBinding && { credentialBinding: { provider: credentialBinding.provider } }),
    maskResponses: endpoint.maskResponses,
    advisorProposed: endpoint.advisorProposed,
    providerCredentialed: endpoint.providerCredentialed,
  });
}

export function endpointFromProto(message: NetworkEndpoint, at: Path, report: Report): Endpoint {
  const field = fieldPath(at);
  const { port, ports } = message;
  if (port !== 0 && ports.length > 0 && !ports.includes(port))
    report(`${field}.port`, `${port} is not one of ports: leave one of the fields out`);
  // What is not carried must not be dropped in silence: it could have been a restriction.
  if (message.tokenGrantOwner !== "") report(`${field}.token_grant_owner`, "is not supported");
  if ((message.mcp?.versions.length ?? 0) > 0) report(`${field}.mcp.versions`, "is not supported");
  const mcp = mcpFromProto(message);
  return {
    host: canonicalHost(message.host),
    ports: distinct(ports.length > 0 ? ports : port === 0 ? [] : [port]),
    protocol: message.protocol.toLowerCase() as Protocol,
    tls: named(TLS, message.tls, `${field}.tls`, report),
    enforcement: named(ENFORCEMENT, message.enforcement, `${field}.enforcement`, report),
    access: named(ACCESS, message.access, `${field}.access`, report),
    rules: message.rules.flatMap(({ allow }, i) => {
      if (allow !== undefined) return [requestRuleFromProto(allow, [...at, "rules", i, "allow"], report)];
      report(`${field}.rules[${i}]`, "has no allow");
      return [];
    }),
    denyRules: message.denyRules.map((rule, i) => requestRuleFromProto(rule, [...at, "deny_rules", i], report)),
    allowedIps: [...message.allowedIps],
    path: message.path,
    allowEncodedSlash: message.allowEncodedSlash,
    websocketCredentialRewrite: message.websocketCredentialRewrite,
    requestBodyCredentialRewrite: message.requestBodyCredentialRewrite,
    allowUninspectedCredentials: message.allowUninspectedCredentials,
    persistedQueries: message.persistedQueries,
    graphqlPersistedQueries: mapValues(message.graphqlPersistedQueries, ({ operationType, operationName, fields }) => ({
      operationType,
      operationName,
      fields: [...fields],
    })),
    graphqlMaxBodyBytes: message.graphqlMaxBodyBytes,
    jsonRpcMaxBodyBytes: message.jsonRpcMaxBodyBytes,
    ...(mcp && { mcp }),
    credentialSigning: message.credentialSigning,
    signingService: message.signingService,
    signingRegion: message.signingRegion,
    ...(message.credentialBinding && { credentialBinding: { provider: message.credentialBinding.provider } }),
    maskResponses: message.maskResponses,
    advisorProposed: message.advisorProposed,
    providerCredentialed: message.providerCredentialed,
  };
}

function mcpFromProto({ mcp }: NetworkEndpoint): McpOptions | undefined {
  const options: McpOptions = {
    ...(mcp?.strictToolNames !== undefined && { strictToolNames: mcp.strictToolNames }),
    ...(mcp?.allowAllKnownMcpMethods !== undefined && { allowAllKnownMcpMethods: mcp.allowAllKnownMcpMethods }),
  };
  return Object.keys(options).length === 0 ? undefined : options;
}

function named<T extends string>(names: Readonly<Record<T, number>>, value: number, field: string, report: Report): T {
  const found = (Object.keys(names) as T[]).find((name) => names[name] === value);
  if (found === undefined) report(field, `has the unknown value ${value}`);
  return found ?? ("" as T);
}
