import { create } from "@bufbuild/protobuf";
import { type Sandbox, SandboxSchema } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { toObjectMeta } from "../object-meta.ts";
import type { SessionRegistry } from "../relay/sessions.ts";
import type { SandboxRecord } from "../store/sandboxes.ts";

/** A sandbox as the API shows it. Its SSH host key is that of the supervisor which is connected now; none is shown while there is none. */
export function toSandbox(record: SandboxRecord, sessions: Pick<SessionRegistry, "get">): Sandbox {
  return create(SandboxSchema, {
    metadata: toObjectMeta(record),
    spec: record.spec,
    status: record.status,
    hostKeyFingerprint: sessions.get(record.id)?.hello.hostKeyFingerprint ?? "",
  });
}
