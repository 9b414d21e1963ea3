/** One policy, as YAML text or as its protobuf encoding: the limit that existing gateways enforce. */
export const MAX_POLICY_BYTES = 262_144;
/** Read-only and read-write paths together; each costs a mount and a Landlock rule at every start. */
export const MAX_FILESYSTEM_PATHS = 256;
/** PATH_MAX of Linux (include/uapi/linux/limits.h). */
export const MAX_PATH_BYTES = 4096;
/** A host name without the root dot (RFC 1035 §2.3.4). */
export const MAX_HOST_LENGTH = 253;
/** One label of a host name (RFC 1035 §2.3.4). */
export const MAX_LABEL_LENGTH = 63;
/** Rule keys appear in every log line about the rule. */
export const MAX_RULE_KEY_BYTES = 253;
/** Violations reported at once: enough to fix a file in one go, few enough to read. */
export const MAX_VIOLATIONS = 100;
/** Linux keeps -1 as "no change", so 2³² − 2 is the largest id (include/linux/uidgid.h). */
export const MAX_ID = 4_294_967_294;
/** Highest TCP port. */
export const MAX_PORT = 65_535;
/** Rule keys with this prefix are derived from providers by the gateway and never written by people. */
export const PROVIDER_RULE_PREFIX = "_provider_";
