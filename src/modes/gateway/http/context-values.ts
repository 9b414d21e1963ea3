import { type ContextValues, createContextValues } from "@connectrpc/connect";
import { type NodeRequest, peerKey, peerOf } from "../auth/authenticate.ts";

/** What the transport knows of a caller, for the gate to judge. */
export function contextValues(request: NodeRequest, plaintext: boolean): ContextValues {
  return createContextValues().set(peerKey, peerOf(request, plaintext));
}
