import type { Duplex } from "node:stream";
import type { AuthContext, Connection, ServerChannel, Session, TcpipRequestInfo } from "ssh2";
import type { HostKey } from "./host-key.ts";
import { requestedModes } from "./requested-modes.ts";
import { type SessionContext, SshSession } from "./session.ts";

/** The one account of a sandbox. */
const USER = "sandbox";

/** Channels of one connection that may be open; an editor keeps some dozens. */
const MAX_CHANNELS = 256;

/** GCM first: it is what both sides do fastest, and the library has no ChaCha20. */
const CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr"] as const;

/** The way to the gateway is TLS on this machine or a fast network, and messages are looked at as they are. */
const COMPRESSION = ["none"] as const;

/** A client that has not logged in by then is none. Milliseconds. */
const LOGIN_TIME = 30_000;

export interface SshContext extends SessionContext {
  readonly hostKey: HostKey;
  /** A stream to a service on the sandbox's own loopback; rejects for any other place. */
  connect(host: string, port: number): Promise<Duplex>;
}

/** SSH for one sandbox. It listens nowhere: connections are handed to it, and whoever hands them over has authenticated the person. */
export class SshService {
  readonly #context: SshContext;
  #server: Promise<import("ssh2").Server> | undefined;

  constructor(context: SshContext) {
    this.#context = context;
  }

  /** Serves one client on a stream of bytes; resolves when the connection has ended. */
  async serve(stream: Duplex): Promise<void> {
    this.#server ??= this.#start();
    const server = await this.#server;
    await new Promise<void>((ended) => {
      stream.once("close", ended);
      stream.on("error", () => {}); // a relay that breaks ends like one that is closed
      // SSH has no half-close: a client that sends no more is gone.
      stream.once("end", () => stream.destroy());
      server.injectSocket(stream as unknown as import("node:net").Socket);
    });
  }

  /** Loaded for the first person who enters: most sandboxes never need it. */
  async #start(): Promise<import("ssh2").Server> {
    const { default: ssh } = await import("ssh2");
    const { hostKey } = this.#context;
    const options = {
      hostKeys: [hostKey.privateKey],
      ident: "OpenShell",
      algorithms: { cipher: [...CIPHERS], compress: [...COMPRESSION] },
    };
    return new ssh.Server(options, (connection) => serveConnection(connection, this.#context));
  }
}

function serveConnection(connection: Connection, context: SshContext): void {
  const modes = requestedModes(connection);
  const sessions = new Set<SshSession>();
  let channels = 0;
  const opened = (): boolean => channels < MAX_CHANNELS && ++channels > 0;
  const closed = (): void => {
    channels -= 1;
  };
  const late = setTimeout(() => connection.end(), LOGIN_TIME);
  connection.on("authentication", authenticate);
  connection.on("ready", () => clearTimeout(late));
  connection.on("session", (accept, reject) => {
    if (!opened()) return reject();
    const session = new SshSession(withoutChannel(accept() as Session), context, modes, () => {
      sessions.delete(session);
      closed();
    });
    sessions.add(session);
  });
  connection.on("tcpip", (accept, reject, info) => {
    if (!opened()) return reject();
    void forward(context, accept, reject, info).finally(closed);
  });
  // Reverse forwards, forwarded Unix sockets and whatever else has no listener here are refused by the library; keep-alives are answered.
  connection.on("error", () => {}); // a client that breaks off is not our failure
  connection.on("close", () => {
    clearTimeout(late);
    for (const session of sessions) session.hangUp();
  });
}

/**
 * A session that ends before a program has started is told from a channel by the name of its class, which a minified build has changed: the
 * library would fail on it, and the supervisor with it. Marked as closed it is passed over.
 */
function withoutChannel(session: Session): Session {
  return Object.assign(session, { incoming: { state: "closed" } });
}

/** The gateway has checked who comes; there is one account, and whoever may enter may enter as it. */
function authenticate(attempt: AuthContext): void {
  if (attempt.username !== USER) attempt.reject([]);
  else if (attempt.method === "none" || attempt.method === "publickey") attempt.accept();
  else attempt.reject(["none"]);
}

async function forward(context: SshContext, accept: () => ServerChannel, reject: () => void, info: TcpipRequestInfo): Promise<void> {
  let service: Duplex;
  try {
    service = await context.connect(info.destIP, info.destPort);
  } catch {
    reject();
    return;
  }
  const channel = accept();
  await joinChannel(channel, service);
}

/** Bytes both ways until both sides have ended; either end of stream is passed on alone. */
function joinChannel(channel: ServerChannel, service: Duplex): Promise<void> {
  return new Promise((ended) => {
    const finished = { channel: false, service: false };
    const finish = (side: keyof typeof finished): void => {
      finished[side] = true;
      // The library closes the whole channel at its end, so that of one direction is said by itself.
      if (side === "service") halfClose(channel).eof();
      else service.end();
      if (finished.channel && finished.service) halfClose(channel).close();
    };
    channel.on("error", () => service.destroy());
    service.on("error", () => halfClose(channel).close());
    channel.on("end", () => finish("channel"));
    service.on("end", () => finish("service"));
    channel.on("close", () => {
      service.destroy();
      ended();
    });
    service.on("close", () => halfClose(channel).close());
    channel.pipe(service, { end: false });
    service.pipe(channel, { end: false });
  });
}

function halfClose(channel: ServerChannel): { eof(): void; close(): void } {
  return channel as unknown as { eof(): void; close(): void };
}
