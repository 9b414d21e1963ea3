import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ObjectMetaSchema } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import { type Sandbox, SandboxSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";

/** A sandbox as the API shows it. */
export function toSandbox(record: SandboxRecord): Sandbox {
  return create(SandboxSchema, {
    metadata: create(ObjectMetaSchema, {
      id: record.id,
      name: record.name,
      workspace: record.workspace,
      createdTime: timestampFromMs(record.createdAt),
      labels: { ...record.labels },
      annotations: { ...record.annotations },
      resourceVersion: BigInt(record.resourceVersion),
    }),
    spec: record.spec,
    status: record.status,
  });
}
