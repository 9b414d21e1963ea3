import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Provider, ProviderSchema } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import { REDACTED } from "../auth/redact.ts";
import { toObjectMeta } from "../object-meta.ts";
import type { ProviderRecord } from "./repository.ts";

/**
 * A provider as the API shows it: the names of its credentials, never a value. Redacted here already, since answers are remembered for
 * repeated requests before the redactor of the way out sees them.
 */
export function toProvider(record: ProviderRecord): Provider {
  return create(ProviderSchema, {
    metadata: toObjectMeta(record),
    type: record.type,
    credentials: Object.fromEntries(Object.keys(record.credentials).map((key) => [key, REDACTED])),
    config: { ...record.config },
    credentialExpirationTimes: Object.fromEntries(Object.entries(record.expirations).map(([key, at]) => [key, timestampFromMs(at)])),
  });
}
