import type { Inspection } from "../../../../engine/decision.ts";
import { OpenShellError } from "../../../../error.ts";
import { behind, InspectedStream } from "../inspect/inspected-stream.ts";
import type { Upstream, UpstreamEvents } from "../inspect/upstream.ts";
import { Valve } from "../inspect/valve.ts";
import { type ByteSocket, Tunnel } from "../relay.ts";
import type { SandboxCa } from "../tls/sandbox-ca.ts";
import { TlsServerSide } from "../tls/server-side.ts";
import { errorResponse } from "./error-response.ts";
import { MAX_STARTUP_BYTES, readOpening, sslRequest } from "./opening.ts";
import { SqlWatcher, type StatementGate } from "./watcher.ts";

/** The protocol's name inside TLS; PostgreSQL 17 asks for it, older servers do not mind. */
const POSTGRESQL: readonly string[] = ["postgresql"];
/** Answers of a server, and ours, to the question for encryption. */
const YES = 0x53; // S
const NO = 0x4e; // N

export interface SqlConnectionSetup {
  /** As accepted, without TLS. */
  readonly client: ByteSocket;
  readonly upstream: Upstream;
  /** The server that was decided about. */
  readonly host: string;
  readonly ca: SandboxCa;
  /** Time for each step before the session. */
  readonly headMs: number;
}

export interface SqlConnectionHost {
  lasts(milliseconds: number): void;
  /** The connection is refused for this reason. */
  refusedBytes(code: string, reason: string): void;
  /** Decides and tells of the statements of a session. */
  statements(database: string): StatementGate;
  inspectionEnded(): void;
}

/**
 * A PostgreSQL connection. Encryption is agreed on with both sides: where the server takes TLS, it is ended here as for requests, and the server is
 * verified; where it does not, the client is told so and decides. Encryption by GSSAPI is declined. Then statements are watched as they pass.
 *
 * opening: the client's next word. asking: the server is dialled for the question. asked: its answer. securing: TLS with the server. starting: the
 * session is known, the server is dialled. session: bytes pass. over: nothing more does.
 */
export class SqlConnection implements UpstreamEvents {
  readonly #setup: SqlConnectionSetup;
  readonly #host: SqlConnectionHost;
  #state: "opening" | "asking" | "asked" | "securing" | "starting" | "session" | "over" = "opening";
  #pending: Buffer = Buffer.alloc(0);
  #database = "";
  #encrypted = false;
  #tls: TlsServerSide | undefined;
  #tunnel: Tunnel | undefined;
  #watcher: SqlWatcher | undefined;
  #stream: InspectedStream | undefined;

  constructor(setup: SqlConnectionSetup, host: SqlConnectionHost) {
    this.#setup = setup;
    this.#host = host;
    setup.upstream.events = this;
  }

  // What the client's socket says.

  clientData(bytes: Buffer): void {
    if (this.#tls !== undefined) this.#tls.feed(bytes);
    else this.#received(bytes);
  }

  clientDrained(): void {
    if (this.#tls !== undefined) this.#tls.rawDrained();
    else this.#tunnel?.clientDrained();
  }

  clientEnded(): void {
    if (this.#tls !== undefined) this.#tls.rawEnded();
    else this.#finished();
  }

  clientClosed(error: Error | undefined): void {
    this.#tls?.rawClosed();
    this.#watcher?.ended();
    this.#stream?.clientClosed();
    if (this.#tunnel !== undefined) {
      this.#tunnel.clientClosed(error);
      return;
    }
    this.#state = "over";
    this.#setup.upstream.abort();
    this.#host.inspectionEnded();
  }

  expire(): void {
    this.#refuse("sql_timeout", `the client did not begin a PostgreSQL session within ${this.#setup.headMs} ms`);
  }

  /** A new policy wants to read requests here. */
  outlived({ opaque }: Inspection): boolean {
    return opaque === "refuse";
  }

  abort(): void {
    this.#state = "over";
    this.#tunnel = undefined;
    this.#setup.upstream.abort();
    this.#client.terminate();
  }

  // What the server says.

  upstreamReady(): void {
    const { socket } = this.#setup.upstream;
    if (socket === undefined) return;
    if (this.#state === "asking") {
      this.#state = "asked";
      socket.write(sslRequest());
    } else if (this.#state === "securing") {
      this.#encrypt();
    } else if (this.#state === "starting") {
      this.#begin(socket);
    }
  }

  upstreamFailed(problem: string): void {
    this.#refuse("upstream_failed", problem);
  }

  upstreamData(bytes: Buffer): void {
    if (this.#state === "session") this.#stream?.fromServer(bytes);
    else if (this.#state !== "asked" || bytes.length !== 1) this.#refuse("sql_protocol", "the server speaks before it is asked");
    else if (bytes[0] === YES) this.#secureServer();
    else if (bytes[0] === NO) this.#decline();
    else this.#refuse("sql_protocol", "the server does not answer the question for TLS");
  }

  upstreamDrained(): void {
    this.#tunnel?.upstreamDrained();
  }

  upstreamEnded(): void {
    if (this.#state === "session") this.#tunnel?.upstreamFinished();
    else this.#refuse("upstream_failed", "the server ended the connection");
  }

  upstreamClosed(error: Error | undefined): void {
    if (this.#state === "session") this.#tunnel?.upstreamClosed(error);
    else this.#refuse("upstream_failed", "the server closed the connection");
  }

  get #client(): ByteSocket {
    return this.#tls ?? this.#setup.client;
  }

  #received(bytes: Buffer): void {
    if (this.#state === "session") {
      this.#stream?.fromClient(bytes);
      return;
    }
    if (this.#state === "over") return;
    this.#pending = Buffer.concat([this.#pending, bytes]);
    if (this.#state === "opening") this.#advance();
    // Bytes that came in plain text must not be taken for part of the encrypted session (CVE-2021-23214).
    else if (this.#state !== "starting") this.#refuse("sql_protocol", "the client did not wait for the answer about TLS");
    else if (this.#pending.length > MAX_STARTUP_BYTES) this.#refuse("sql_protocol", "the client did not wait for its server");
  }

  #advance(): void {
    const { upstream, headMs } = this.#setup;
    const opening = readOpening(this.#pending);
    switch (opening.kind) {
      case "incomplete":
        this.#host.lasts(headMs);
        break;
      case "other":
        this.#refuse("sql_protocol", "not PostgreSQL where the policy has rules about statements");
        break;
      case "gss":
        this.#pending = this.#pending.subarray(opening.size);
        this.#decline();
        break;
      case "tls":
        if (this.#encrypted || this.#pending.length > opening.size) {
          this.#refuse("sql_protocol", "the client asks for TLS where it cannot be");
          break;
        }
        this.#pending = Buffer.alloc(0);
        this.#host.lasts(0);
        this.#state = "asking";
        upstream.open("http");
        break;
      case "session":
        this.#database = opening.database;
        this.#host.lasts(0);
        this.#state = "starting";
        upstream.open(this.#encrypted ? "https" : "http");
        break;
    }
  }

  /** No encryption of this kind; the client goes on without, or not at all. */
  #decline(): void {
    this.#setup.client.write(Buffer.of(NO));
    this.#state = "opening";
    this.#advance();
  }

  #secureServer(): void {
    this.#state = "securing";
    this.#encrypted = true;
    this.#setup.upstream.secure(POSTGRESQL);
  }

  /** The server is verified and speaks TLS: now the client may as well. */
  #encrypt(): void {
    const { client, ca, host, headMs } = this.#setup;
    client.write(Buffer.of(YES));
    this.#state = "opening";
    this.#host.lasts(headMs);
    this.#tls = new TlsServerSide(client, ca.context(host), POSTGRESQL, {
      secured: () => {},
      data: (bytes) => this.#received(bytes),
      drained: () => this.#tunnel?.clientDrained(),
      ended: () => this.#finished(),
      failed: (error) => this.#refuse("tls_failed", `TLS with the client failed: ${error.message}`),
      faulted: (error) => this.#refuse("internal", `the connection could not be handled: ${OpenShellError.from(error).message}`),
    });
  }

  #begin(upstream: ByteSocket): void {
    this.#state = "session";
    const valve = new Valve(() => this.#client);
    this.#tunnel = new Tunnel(behind(valve, this.#client), upstream, { tunnelEnded: () => this.#host.inspectionEnded() });
    this.#watcher = new SqlWatcher(this.#host.statements(this.#database));
    this.#stream = new InspectedStream(this.#watcher, this.#tunnel, valve);
    this.#stream.fromClient(this.#pending);
    this.#pending = Buffer.alloc(0);
  }

  #finished(): void {
    if (this.#stream !== undefined) this.#stream.clientFinished();
    else this.#client.end();
  }

  /** The client of a session that never began learns the reason as from a server. */
  #refuse(code: string, reason: string): void {
    if (this.#state === "over") return;
    const said = this.#state === "starting";
    this.#host.refusedBytes(code, reason);
    this.#state = "over";
    this.#setup.upstream.abort();
    if (!said) {
      this.#client.terminate();
      return;
    }
    this.#client.write(errorResponse(reason));
    this.#client.end();
  }
}
