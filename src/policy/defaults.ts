import type { Endpoint, Policy, RequestRule } from "./model.ts";

/** The only version of the policy schema. */
export const POLICY_VERSION = 1;

/** An endpoint that says nothing: the value of every field that is left out. */
export const emptyEndpoint: Endpoint = {
  host: "",
  ports: [],
  protocol: "",
  tls: "",
  enforcement: "",
  access: "",
  rules: [],
  denyRules: [],
  allowedIps: [],
  path: "",
  allowEncodedSlash: false,
  websocketCredentialRewrite: false,
  requestBodyCredentialRewrite: false,
  allowUninspectedCredentials: false,
  persistedQueries: "",
  graphqlPersistedQueries: {},
  graphqlMaxBodyBytes: 0,
  jsonRpcMaxBodyBytes: 0,
  credentialSigning: "",
  signingService: "",
  signingRegion: "",
  maskResponses: false,
  advisorProposed: false,
  providerCredentialed: false,
};

/** A request rule that constrains nothing. */
export const emptyRequestRule: RequestRule = {
  method: "",
  path: "",
  command: "",
  query: {},
  operationType: "",
  operationName: "",
  fields: [],
  params: {},
};

/** The policy of a sandbox that brings none: system paths to read, the workspace and `/tmp` to write, no network. */
export function restrictiveDefault(): Policy {
  return {
    version: POLICY_VERSION,
    filesystem: {
      includeWorkdir: true,
      readOnly: ["/usr", "/lib", "/proc", "/dev/urandom", "/app", "/etc", "/var/log"],
      readWrite: ["/tmp", "/dev/null"],
    },
    landlock: { compatibility: "best_effort" },
    networkPolicies: {},
  };
}
