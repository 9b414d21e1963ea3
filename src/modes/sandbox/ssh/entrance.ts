import type { Duplex } from "node:stream";
import type { RelayOpen } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import type { Box } from "../box/contract.ts";
import type { MainProcess } from "../main-process.ts";
import type { GatewayClient } from "../session/gateway-client.ts";
import { newHostKey } from "./host-key.ts";
import { loopbackAddress } from "./loopback.ts";
import { serveByteRelay } from "./relays.ts";
import { SshService } from "./server.ts";
import { launchSftp } from "./sftp.ts";
import { openSocketStream } from "./socket-stream.ts";

export interface EntranceOptions {
  readonly client: GatewayClient;
  readonly box: Box;
  /** What every program of this sandbox is started with, at this moment. */
  environment(): Record<string, string>;
  readonly workdir: string;
  /** Absent: the sandbox has no main process. */
  readonly main?: MainProcess;
}

/** How a person gets in: SSH, and connections to services inside; both only over relays that the gateway asks for. */
export interface Entrance {
  readonly hostKeyFingerprint: string;
  /** Serves an `ssh` or `tcp` relay; rejects when it cannot be opened. */
  relay(open: RelayOpen): Promise<void>;
}

/** A sandbox's entrance. Its SSH host key is new with each start of the supervisor. */
export function openEntrance({ client, box, environment, workdir, main }: EntranceOptions): Entrance {
  const hostKey = newHostKey();
  const connect = async (host: string, port: number): Promise<Duplex> =>
    openSocketStream(await box.connectLoopback(loopbackAddress(host, port)));
  const ssh = new SshService({
    hostKey,
    connect,
    launch: (spec) => box.launch(spec),
    surroundings: () => {
      const variables = environment();
      return { shell: variables["SHELL"] ?? "/bin/sh", workdir, environment: variables };
    },
    launchSftp: () => launchSftp(box, workdir),
    ...(main === undefined ? {} : { main }),
  });
  return { hostKeyFingerprint: hostKey.fingerprint, relay: (open) => serveByteRelay({ client, ssh, connect }, open) };
}
