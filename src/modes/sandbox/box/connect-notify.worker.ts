import { ConnectNotifications } from "../../../linux/connect-notifications.ts";
import { close, readInto } from "../../../linux/descriptors.ts";
import { PIDFD_THREAD, pidfdGetfd, pidfdOpen } from "../../../linux/pidfd.ts";
import { waitForAny } from "../../../linux/poll.ts";
import { threadGroupOf } from "../../../linux/process-facts.ts";
import { isTcpSocket, socketCookie, TCP_CLOSE, tcpState } from "../../../linux/socket-facts.ts";
import type { RecorderOrder } from "./connect-recorder.ts";
import { type ConnectRecord, IdentityWriter } from "./identity-table.ts";
import { type ProgramFacts, ProgramReader, sameImage } from "./program-facts.ts";

/**
 * Records, on a thread of its own, the program behind every connect(2) of the box while the caller waits in the call. Whatever goes wrong,
 * the call goes on: without a record its connection is denied.
 */
declare const self: Worker;

self.onmessage = (event: MessageEvent<RecorderOrder>) => {
  const { table, wake, initPid } = event.data;
  const writer = new IdentityWriter(table);
  const notifications = new ConnectNotifications();
  const programs = new ProgramReader(initPid);
  const listeners = new Set<number>();
  // Blocks this thread for the life of the box; the end of the wake pipe ends it.
  while (true) {
    for (const { fd, readable, finished } of waitForAny([wake, ...listeners])) {
      if (fd === wake) {
        const added = readNumbers(wake);
        if (added === undefined) {
          for (const listener of listeners) close(listener);
          close(wake);
          programs.close();
          process.exit(0);
        }
        for (const listener of added) listeners.add(listener);
      } else if (readable) {
        serve(fd, notifications, writer, programs);
      } else if (finished) {
        // The last process under this filter has ended.
        listeners.delete(fd);
        close(fd);
      }
    }
  }
};

function serve(listener: number, notifications: ConnectNotifications, writer: IdentityWriter, programs: ProgramReader): void {
  const report = notifications.receive(listener);
  if (report === undefined) return;
  let pidfd: number | undefined;
  let socket: number | undefined;
  try {
    pidfd = threadDescriptor(report.thread);
    socket = pidfdGetfd(pidfd, report.socket);
    if (!isTcpSocket(socket)) return;
    const cookie = socketCookie(socket);
    const record = decide(writer.get(cookie), programs.read(report.thread, pidfd), tcpState(socket) === TCP_CLOSE);
    if (record !== undefined && notifications.stillWaits(listener)) writer.put(cookie, record);
  } catch {
    // No record is the answer.
  } finally {
    for (const descriptor of [socket, pidfd]) if (descriptor !== undefined) close(descriptor);
    notifications.resume(listener);
  }
}

/** What to store now; undefined keeps what is there. `fresh`: the socket is not connected and not connecting yet. */
function decide(known: ConnectRecord | undefined, facts: ProgramFacts, fresh: boolean): ConnectRecord | undefined {
  if (known === undefined) {
    // A connection whose beginning was not seen: somebody else may have made it.
    if (!fresh) return { kind: "ambiguous" };
    return "unknown" in facts ? { kind: "unknown", reason: facts.unknown } : { kind: "program", program: facts.program };
  }
  if (known.kind === "program" && "program" in facts && sameImage(known.program, facts.program)) return undefined;
  return known.kind === "ambiguous" ? undefined : { kind: "ambiguous" };
}

/** A descriptor of the thread itself: its descriptor table may be its own. */
function threadDescriptor(thread: number): number {
  try {
    return pidfdOpen(thread, PIDFD_THREAD);
  } catch {
    // Before Linux 6.9: by process, whose table nearly always is the thread's too.
    return pidfdOpen(threadGroupOf(thread) ?? thread);
  }
}

/** Numbers of new listeners; undefined at the end of the pipe. */
function readNumbers(wake: number): number[] | undefined {
  const buffer = Buffer.alloc(4096);
  const count = readInto(wake, buffer);
  if (count === 0) return undefined;
  return Array.from({ length: count / 4 }, (_, index) => buffer.readUInt32LE(index * 4));
}
