import { type DescMethodUnary, getOption, hasOption } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { authorization } from "../../../rpc/gen/openshell/options/v1/options_pb.ts";
import { OpenShell } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GrpcStatus } from "./grpc-message.ts";

/** A method that answers one message with one. */
export type Method = DescMethodUnary;

/** Paths of the methods that the inside of a sandbox may call, read from the methods' own option; the gateway decides by the same. */
export const AGENT_METHODS: ReadonlyMap<string, Method> = new Map(
  OpenShell.methods
    .filter((method): method is Method & (typeof OpenShell.methods)[number] => method.methodKind === "unary")
    .filter((method) => hasOption(method, authorization) && getOption(method, authorization).agent)
    .map((method) => [`/${OpenShell.typeName}/${method.name}`, method]),
);

/** The refusal of every other path, in the same words as the gateway's. */
export function notOpen(path: string): GrpcStatus {
  const name = /^\/[\w.]{1,100}\/(\w{1,100})$/.exec(path)?.[1] ?? "this";
  return { code: Code.PermissionDenied, message: `${name} is not open to the inside of a sandbox` };
}
