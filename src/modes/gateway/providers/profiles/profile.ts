import { create } from "@bufbuild/protobuf";
import {
  NetworkAccessPreset,
  NetworkBinarySchema,
  NetworkEndpointSchema,
  NetworkEnforcementMode,
} from "../../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import {
  type ProviderProfile,
  type ProviderProfileCategory,
  type ProviderProfileCredential,
  ProviderProfileCredentialSchema,
  ProviderProfileSchema,
} from "../../../../rpc/gen/openshell/v1/openshell_pb.ts";

const { ENFORCE } = NetworkEnforcementMode;

type Endpoint = ProviderProfile["endpoints"][number];

/** How programs present a credential: the one place where the secret may take the place of its placeholder. */
export type Presentation =
  | { readonly style: "bearer" }
  | { readonly style: "header"; readonly header: string }
  | { readonly style: "query"; readonly parameter: string }
  | { readonly style: "path"; readonly template: string }
  /** Presented in no fixed place: what the policy's endpoint says, such as `credential_signing`. */
  | { readonly style: "" };

export const bearer: Presentation = { style: "bearer" };

/** A credential of a service and the variables that its programs look for, the usual one first. */
export function credential(
  name: string,
  variables: readonly string[],
  presentation: Presentation,
  required = true,
): ProviderProfileCredential {
  return create(ProviderProfileCredentialSchema, {
    name,
    envVars: [...variables],
    required,
    authStyle: presentation.style,
    ...(presentation.style === "bearer" ? { headerName: "authorization" } : {}),
    ...(presentation.style === "header" ? { headerName: presentation.header } : {}),
    ...(presentation.style === "query" ? { queryParam: presentation.parameter } : {}),
    ...(presentation.style === "path" ? { pathTemplate: presentation.template } : {}),
  });
}

/** `host:443` inspected as REST with one of the presets. */
export function rest(host: string, access: "read-only" | "read-write"): Endpoint {
  const preset = access === "read-only" ? NetworkAccessPreset.READ_ONLY : NetworkAccessPreset.READ_WRITE;
  return create(NetworkEndpointSchema, { host, port: 443, ports: [443], protocol: "rest", access: preset, enforcement: ENFORCE });
}

/** `host:443` as a plain tunnel. */
export function plain(host: string): Endpoint {
  return create(NetworkEndpointSchema, { host, port: 443, ports: [443] });
}

/** An endpoint on port 443 with settings of its own. */
export function endpoint(fields: Partial<Omit<Endpoint, "$typeName" | "$unknown">>): Endpoint {
  return create(NetworkEndpointSchema, { port: 443, ports: [443], enforcement: ENFORCE, ...fields });
}

export interface ProfileParts {
  readonly title: string;
  readonly description: string;
  readonly category: ProviderProfileCategory;
  readonly credentials?: readonly ProviderProfileCredential[];
  readonly endpoints?: readonly Endpoint[];
  readonly binaries?: readonly string[];
  readonly inference?: boolean;
}

/** What OpenShell knows of one kind of service; discovery looks for every variable of its credentials. */
export function profile(id: string, parts: ProfileParts): ProviderProfile {
  const credentials = parts.credentials ?? [];
  return create(ProviderProfileSchema, {
    id,
    displayName: parts.title,
    description: parts.description,
    category: parts.category,
    credentials: [...credentials],
    endpoints: [...(parts.endpoints ?? [])],
    binaries: (parts.binaries ?? []).map((path) => create(NetworkBinarySchema, { path })),
    inferenceCapable: parts.inference ?? false,
    ...(credentials.length === 0 ? {} : { discovery: { credentials: credentials.map(({ name }) => name) } }),
    resourceVersion: 1n,
    source: "builtin",
    scope: "global",
  });
}
