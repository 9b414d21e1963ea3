/** The policy of one sandbox, normalised: what every part of OpenShell works with. YAML and protobuf are mapped to and from it. */
export interface Policy {
  /** Schema version; always 1. */
  readonly version: number;
  readonly filesystem?: FilesystemPolicy;
  readonly landlock?: LandlockPolicy;
  readonly process?: ProcessPolicy;
  /** Rules by key; the only section that may change while a sandbox runs. */
  readonly networkPolicies: Readonly<Record<string, NetworkRule>>;
}

/** Static: paths the agent may use; everything else does not exist for it. */
export interface FilesystemPolicy {
  readonly includeWorkdir: boolean;
  readonly readOnly: readonly string[];
  readonly readWrite: readonly string[];
}

/** Static: `hard_requirement` refuses to start without the full protection, `best_effort` says what is missing and goes on. */
export interface LandlockPolicy {
  readonly compatibility: "best_effort" | "hard_requirement";
}

/** Static: who the agent runs as; `sandbox`, a numeric id, or, without a gateway, an account of the host; never root. */
export interface ProcessPolicy {
  readonly runAsUser: string;
  readonly runAsGroup: string;
}

export interface NetworkRule {
  /** Defaults to the key. */
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
  readonly binaries: readonly Binary[];
}

export interface Binary {
  /** Absolute path or glob (`*` one segment, `**` many). */
  readonly path: string;
  /** Match the executable alone, never an ancestor (every proposal sets it). */
  readonly selfOnly: boolean;
}

export type Protocol = "" | "tcp" | "rest" | "websocket" | "graphql" | "sql" | "json-rpc" | "mcp";
export type TlsMode = "" | "skip" | "terminate" | "passthrough";
export type Enforcement = "" | "enforce" | "audit";
export type AccessPreset = "" | "read-only" | "read-write" | "full";

export interface Endpoint {
  /** Lower-case name, address literal or glob; empty only with `allowedIps`. */
  readonly host: string;
  /** 1..65535, at least one. */
  readonly ports: readonly number[];
  readonly protocol: Protocol;
  readonly tls: TlsMode;
  readonly enforcement: Enforcement;
  readonly access: AccessPreset;
  readonly rules: readonly RequestRule[];
  readonly denyRules: readonly RequestRule[];
  /** CIDRs or bare addresses that the host may resolve to. */
  readonly allowedIps: readonly string[];
  readonly path: string;
  readonly allowEncodedSlash: boolean;
  readonly websocketCredentialRewrite: boolean;
  readonly requestBodyCredentialRewrite: boolean;
  readonly allowUninspectedCredentials: boolean;
  readonly persistedQueries: string;
  readonly graphqlPersistedQueries: Readonly<Record<string, GraphqlOperation>>;
  /** Bytes; 0 = the default of 65,536. */
  readonly graphqlMaxBodyBytes: number;
  /** Bytes; 0 = the default of 65,536. Shared by `json_rpc` and `mcp`, as on the wire. */
  readonly jsonRpcMaxBodyBytes: number;
  readonly mcp?: McpOptions;
  readonly credentialSigning: string;
  readonly signingService: string;
  readonly signingRegion: string;
  readonly credentialBinding?: { readonly provider: string };
  readonly maskResponses: boolean;
  /** Set by the gateway only. */
  readonly advisorProposed: boolean;
  /** Set by the gateway only. */
  readonly providerCredentialed: boolean;
}

export interface McpOptions {
  readonly strictToolNames?: boolean;
  readonly allowAllKnownMcpMethods?: boolean;
}

export interface GraphqlOperation {
  readonly operationType: string;
  readonly operationName: string;
  readonly fields: readonly string[];
}

/** What one allow or deny rule says about a request; empty strings and lists do not constrain. */
export interface RequestRule {
  readonly method: string;
  readonly path: string;
  readonly command: string;
  readonly query: Readonly<Record<string, Matcher>>;
  readonly operationType: string;
  readonly operationName: string;
  readonly fields: readonly string[];
  readonly params: Readonly<Record<string, Matcher>>;
}

/** One glob, or any of several. */
export type Matcher = { readonly glob: string } | { readonly any: readonly string[] };
