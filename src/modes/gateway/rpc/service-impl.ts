import type { ServiceImpl } from "@connectrpc/connect";
import type { OpenShell } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";

/** Handlers of some of the API's methods. */
export type Handlers = Partial<ServiceImpl<typeof OpenShell>>;
