import type { Duplex } from "node:stream";
import { OpenShellError } from "../../../error.ts";
import type { RelayOpen } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { GatewayClient } from "../session/gateway-client.ts";
import { RelayByteStream } from "./relay-stream.ts";
import type { SshService } from "./server.ts";

export interface ByteRelays {
  readonly client: GatewayClient;
  readonly ssh: SshService;
  /** A stream to a service on the sandbox's own loopback; rejects for any other place. */
  connect(host: string, port: number): Promise<Duplex>;
}

/** Serves a relay of the gateway that carries bytes: an SSH connection, or one to a service inside. Rejects when it cannot be opened. */
export async function serveByteRelay({ client, ssh, connect }: ByteRelays, { target, channelId }: RelayOpen): Promise<void> {
  if (target.case === "ssh") {
    await ssh.serve(new RelayByteStream(client, channelId));
    return;
  }
  if (target.case !== "tcp")
    throw new OpenShellError("unimplemented", `relay target '${target.case ?? "none"}' is not served by this supervisor`);
  const service = await connect(target.value.host, target.value.port);
  await join(new RelayByteStream(client, channelId), service);
}

/** Bytes both ways until both sides have ended; the failure of one is the end of the other. */
function join(caller: Duplex, service: Duplex): Promise<void> {
  return new Promise((ended) => {
    caller.on("error", () => service.destroy()).on("close", () => service.destroy());
    service
      .on("error", () => caller.destroy())
      .on("close", () => {
        if (!caller.writableEnded) caller.destroy();
      });
    caller.once("close", ended);
    caller.pipe(service);
    service.pipe(caller);
  });
}
