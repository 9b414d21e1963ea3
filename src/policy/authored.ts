import * as v from "valibot";

/**
 * The policy as people write it (YAML). Types only: which values make sense together is checked on the model, where protobuf input meets the same
 * checks. Every field is optional here, so that one wrong value does not hide the others.
 */
const text = v.string();
const flag = v.boolean();
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(0xffff_ffff));
const positive = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(0xffff_ffff));
const some = <T extends v.GenericSchema>(item: T) => v.pipe(v.array(item), v.minLength(1, "must not be empty: leave it out instead"));

/** valibot takes a list for an object without keys; a policy does not. */
const mapping = v.custom<object>((value) => typeof value === "object" && value !== null && !Array.isArray(value));
const object = <T extends v.ObjectEntries>(entries: T) => v.pipe(mapping, v.strictObject(entries));
const record = <T extends v.GenericSchema>(value: T) => v.pipe(mapping, v.record(text, value));

const glob = v.pipe(text, v.minLength(1, "must not be empty"));
const matcher = v.union([glob, object({ any: some(glob) }), object({ glob })], "expected a pattern or {any: [pattern, …]}");

export type AuthoredMatcher = v.InferOutput<typeof matcher>;
export type AuthoredParams = { [name: string]: AuthoredMatcher | AuthoredParams };

const params: v.GenericSchema<unknown, AuthoredParams> = record(
  v.union([matcher, v.lazy(() => params)], "expected a pattern, {any: [pattern, …]} or a mapping of these"),
);

const requestRule = object({
  method: v.optional(text),
  path: v.optional(text),
  command: v.optional(text),
  query: v.optional(record(matcher)),
  operation_type: v.optional(text),
  operation_name: v.optional(text),
  fields: v.optional(some(glob)),
  tool: v.optional(matcher),
  params: v.optional(params),
});

const operation = object({
  operation_type: v.optional(text),
  operation_name: v.optional(text),
  fields: v.optional(v.array(text)),
});

const endpoint = object({
  host: v.optional(text),
  port: v.optional(count),
  ports: v.optional(some(count)),
  path: v.optional(text),
  protocol: v.optional(text),
  tls: v.optional(v.picklist(["skip", "terminate", "passthrough"])),
  enforcement: v.optional(v.picklist(["enforce", "audit"])),
  access: v.optional(v.picklist(["read-only", "read-write", "full"])),
  rules: v.optional(some(object({ allow: v.optional(requestRule) }))),
  deny_rules: v.optional(some(requestRule)),
  allowed_ips: v.optional(v.array(text)),
  allow_encoded_slash: v.optional(flag),
  websocket_credential_rewrite: v.optional(flag),
  request_body_credential_rewrite: v.optional(flag),
  allow_uninspected_credentials: v.optional(flag),
  persisted_queries: v.optional(v.picklist(["deny", "allow_registered"])),
  graphql_persisted_queries: v.optional(record(operation)),
  graphql_max_body_bytes: v.optional(positive),
  json_rpc: v.optional(object({ max_body_bytes: v.optional(positive) })),
  mcp: v.optional(
    object({
      max_body_bytes: v.optional(positive),
      strict_tool_names: v.optional(flag),
      allow_all_known_mcp_methods: v.optional(flag),
    }),
  ),
  credential_signing: v.optional(v.picklist(["sigv4", "sigv4:body", "sigv4:no_body"])),
  signing_service: v.optional(text),
  signing_region: v.optional(text),
  credential_binding: v.optional(object({ provider: v.optional(text) })),
  mask_responses: v.optional(flag),
});

const rule = object({
  name: v.optional(text),
  endpoints: v.optional(v.array(endpoint)),
  // `harness` is accepted for old files and means nothing.
  binaries: v.optional(v.array(object({ path: v.optional(text), self_only: v.optional(flag), harness: v.optional(flag) }))),
});

const identity = v.union([text, v.pipe(v.number(), v.safeInteger())], 'expected "sandbox" or a number');

export const authoredPolicy = object({
  version: v.optional(count),
  filesystem_policy: v.optional(
    object({ include_workdir: v.optional(flag), read_only: v.optional(v.array(text)), read_write: v.optional(v.array(text)) }),
  ),
  landlock: v.optional(object({ compatibility: v.optional(v.picklist(["best_effort", "hard_requirement", ""])) })),
  process: v.optional(object({ run_as_user: v.optional(identity), run_as_group: v.optional(identity) })),
  network_policies: v.optional(record(rule)),
});

export type AuthoredPolicy = v.InferOutput<typeof authoredPolicy>;
export type AuthoredRule = v.InferOutput<typeof rule>;
export type AuthoredEndpoint = v.InferOutput<typeof endpoint>;
export type AuthoredRequestRule = v.InferOutput<typeof requestRule>;
