import { create } from "@bufbuild/protobuf";
import { type Sandbox, SandboxSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { toObjectMeta } from "../object-meta.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";

/** A sandbox as the API shows it. */
export function toSandbox(record: SandboxRecord): Sandbox {
  return create(SandboxSchema, {
    metadata: toObjectMeta(record),
    spec: record.spec,
    status: record.status,
  });
}
