import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
import { WorkspaceSelectorSchema } from "../../../rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import {
  CreateSshSessionResponseSchema,
  DeletionOutcome,
  RevokeSshSessionResponseSchema,
  type TcpForwardFrame,
  type TcpForwardInit,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { principalKey } from "../auth/principal.ts";
import type { GatewayContext } from "../context.ts";
import { runTunnel } from "../relay/tunnel.ts";
import { requireEnterable } from "../sandboxes/enterable.ts";
import type { Handlers } from "./service-impl.ts";

const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "::1"]);
const MAX_PORT = 65_535;

/** Entering a sandbox: session tokens, and the streams of bytes they open. */
export function sshHandlers({ sandboxes, sessions, relays, sshSessions, ownEndpoint, options, clock }: GatewayContext): Handlers {
  const hasSession = (id: string): boolean => sessions.get(id) !== undefined;
  return {
    createSshSession({ workspaceScope, sandbox }, call) {
      const { record } = sandboxes.find(workspaceScope, sandbox);
      requireEnterable(record, hasSession);
      const { token, expires } = sshSessions.create(record.id, subject(call));
      return create(CreateSshSessionResponseSchema, {
        sandboxId: record.id,
        token,
        gatewayHost: ownEndpoint.hosts[0] ?? "localhost",
        gatewayPort: ownEndpoint.port,
        gatewayScheme: options.disableTls ? "http" : "https",
        hostKeyFingerprint: sessions.get(record.id)?.hello.hostKeyFingerprint ?? "",
        expirationTime: timestampFromMs(Math.max(expires, clock.now())),
      });
    },

    revokeSshSession({ token, allowMissing }, call) {
      if (token === "") throw new OpenShellError("invalid_argument", "token is required");
      const revoked = sshSessions.revoke(token, subject(call));
      if (!revoked && !allowMissing) throw new OpenShellError("not_found", "there is no such session");
      return create(RevokeSshSessionResponseSchema, { outcome: revoked ? DeletionOutcome.COMPLETED : DeletionOutcome.ALREADY_ABSENT });
    },

    async *forwardTcp(frames, call) {
      const incoming = frames[Symbol.asyncIterator]();
      const first = await incoming.next();
      const init = first.done === true ? undefined : first.value.payload;
      if (init?.case !== "init") throw new OpenShellError("invalid_argument", "the first frame of a forward is init");
      const { sandbox, workspace, authorizationToken } = init.value;
      const target = checkedTarget(init.value);
      const { record } = sandboxes.find(create(WorkspaceSelectorSchema, { selection: { case: "workspace", value: workspace } }), sandbox);
      using tunnel = sshSessions.claim(authorizationToken, { sandboxId: record.id, subject: subject(call), kind: target.case });
      requireEnterable(record, hasSession);
      const signal = AbortSignal.any([call.signal, tunnel.signal]);
      yield* runTunnel(relays, record.id, target, dataOnly(incoming), signal);
    },
  };
}

function subject(call: HandlerContext): string {
  const principal = call.values.get(principalKey);
  if (principal.kind === "user") return principal.subject;
  throw new OpenShellError("permission_denied", "only users enter sandboxes");
}

function checkedTarget({ target }: TcpForwardInit): Extract<TcpForwardInit["target"], { case: "ssh" | "tcp" }> {
  if (target.case === undefined) throw new OpenShellError("invalid_argument", "a forward needs a target: ssh or tcp");
  if (target.case === "tcp") {
    const { host, port } = target.value;
    if (!LOOPBACK_HOSTS.has(host)) throw new OpenShellError("invalid_argument", `tcp.host is one of ${[...LOOPBACK_HOSTS].join(", ")}`);
    if (port < 1 || port > MAX_PORT) throw new OpenShellError("invalid_argument", `tcp.port is ${port}, it must be from 1 to ${MAX_PORT}`);
  }
  return target;
}

/** What follows the first frame; another init is an error of the client. */
async function* dataOnly(frames: AsyncIterator<TcpForwardFrame>): AsyncGenerator<TcpForwardFrame> {
  for (let next = await frames.next(); next.done !== true; next = await frames.next()) {
    if (next.value.payload.case === "init") throw new OpenShellError("invalid_argument", "init was sent twice");
    yield next.value;
  }
}
