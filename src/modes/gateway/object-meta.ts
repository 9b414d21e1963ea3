import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type ObjectMeta, ObjectMetaSchema } from "../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";

/** What the store keeps of every object that the API shows. */
export interface ObjectRecord {
  readonly id: string;
  readonly name: string;
  readonly workspace: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly resourceVersion: number | bigint;
}

/** The metadata of an object as the API shows it. */
export function toObjectMeta(record: ObjectRecord): ObjectMeta {
  return create(ObjectMetaSchema, {
    id: record.id,
    name: record.name,
    workspace: record.workspace,
    createdTime: timestampFromMs(record.createdAt),
    labels: { ...record.labels },
    annotations: { ...record.annotations },
    resourceVersion: BigInt(record.resourceVersion),
  });
}
