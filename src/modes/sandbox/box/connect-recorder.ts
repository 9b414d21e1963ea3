import { OpenShellError } from "../../../error.ts";
import { close, pipe, writeAll } from "../../../linux/descriptors.ts";
import { canonicalAddress } from "../../../linux/netlink/address.ts";
import { findTcpSocket, type SocketFacts, TCP_CLOSE_WAIT, TCP_ESTABLISHED } from "../../../linux/netlink/sock-diag.ts";
import { isCompiled } from "../../../reexec.ts";
import { ordinaryUser } from "../rootless/identity.ts";
import type { Identification, SocketAddress } from "./contract.ts";
import { allocateTable, IdentityReader } from "./identity-table.ts";
import { isOwnExecutable } from "./own-executable.ts";

/** The one message to the Worker. */
export interface RecorderOrder {
  readonly table: SharedArrayBuffer;
  /** Read end of a pipe that carries descriptor numbers of new listeners, four bytes each. */
  readonly wake: number;
  /** Host pid of the box's init, where every line of ancestors ends. */
  readonly initPid: number;
}

/**
 * Where the compiled binary keeps the Worker, and where it is during development. Absolute: a relative name must never mean a file of the
 * working directory.
 */
const workerModule = isCompiled
  ? "/$bunfs/root/modes/sandbox/box/connect-notify.worker.js"
  : new URL("./connect-notify.worker.ts", import.meta.url).href;

/** Knows which program opened which connection of the box. */
export class ConnectRecorder implements AsyncDisposable {
  readonly #table = allocateTable();
  readonly #reader = new IdentityReader(this.#table);
  readonly #wake = pipe();
  readonly #worker: Worker;
  readonly #failed = Promise.withResolvers<never>();
  readonly #closed = Promise.withResolvers<void>();
  #started = false;

  constructor() {
    this.#worker = new Worker(workerModule);
    this.#worker.unref();
    this.#worker.addEventListener("close", () => this.#closed.resolve());
    this.#failed.promise.catch(() => {});
    this.#worker.onerror = (event) => {
      this.#failed.reject(new OpenShellError("internal", `the recorder of connections has failed: ${event.message}`));
    };
  }

  /** Rejects when connections can no longer be recorded; every connect(2) of the box would wait for ever. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Begins; listeners added before are served as well. */
  start(initPid: number): void {
    this.#started = true;
    this.#worker.postMessage({ table: this.#table, wake: this.#wake.read, initPid } satisfies RecorderOrder);
  }

  /** Serves one more descriptor of reported calls, which belongs to the recorder from now on. */
  add(listener: number): void {
    const number = Buffer.alloc(4);
    number.writeUInt32LE(listener);
    writeAll(this.#wake.write, number);
  }

  /** Who opened the connection from `peer` to `local`; anything but a clear answer is a reason to deny it. */
  identify(diagnostics: number, peer: SocketAddress, local: SocketAddress): Identification {
    try {
      const source = { address: canonicalAddress(peer.address), port: peer.port };
      const destination = { address: canonicalAddress(local.address), port: local.port };
      const facts = findTcpSocket(diagnostics, source, destination);
      if (facts === undefined || !isEstablished(facts)) {
        return { known: false, code: "not_established", reason: "the connection is no longer open on the program's side" };
      }
      return this.#recorded(facts.cookie);
    } catch (reason) {
      return { known: false, code: "kernel_error", reason: OpenShellError.from(reason).message };
    }
  }

  /** Ends the Worker, which closes the listeners and its end of the pipe, and waits for that. */
  async [Symbol.asyncDispose](): Promise<void> {
    close(this.#wake.write);
    if (this.#started) {
      this.#worker.ref();
      await this.#closed.promise;
      return;
    }
    this.#worker.terminate();
    close(this.#wake.read);
  }

  #recorded(cookie: bigint): Identification {
    const record = this.#reader.find(cookie);
    if (record === undefined) return { known: false, code: "no_record", reason: NO_RECORD };
    switch (record.kind) {
      case "program":
        if (isOwnExecutable(record.program.file))
          return { known: false, code: "kernel_error", reason: "the openshell executable never acts as the agent" };
        return { known: true, program: record.program };
      case "ambiguous":
        return { known: false, code: "ambiguous", reason: "more than one program called connect on this socket" };
      case "unknown":
        return { known: false, code: "kernel_error", reason: record.reason };
    }
  }
}

const NO_RECORD =
  ordinaryUser() === undefined
    ? "no program was seen to open this connection"
    : "no program was seen to open this connection; one whose file its user may not read can be seen by a supervisor of root only";

const NO_COOKIE = 0xffff_ffff_ffff_ffffn;

/** The kernel answers with a listener on the same port when the connection is gone; that is another program's socket. */
function isEstablished({ state, inode, cookie, exact }: SocketFacts): boolean {
  return exact && (state === TCP_ESTABLISHED || state === TCP_CLOSE_WAIT) && inode !== 0 && cookie !== 0n && cookie !== NO_COOKIE;
}
