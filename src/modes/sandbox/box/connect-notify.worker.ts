import { ConnectNotifications } from "../../../linux/connect-notifications.ts";
import { close, readInto } from "../../../linux/descriptors.ts";
import { PIDFD_THREAD, pidfdGetfd, pidfdOpen } from "../../../linux/pidfd.ts";
import { waitForAny } from "../../../linux/poll.ts";
import { threadGroupOf } from "../../../linux/process-facts.ts";
import { isTcpSocket, socketCookie, TCP_CLOSE, tcpState } from "../../../linux/socket-facts.ts";
import type { RecorderOrder } from "./connect-recorder.ts";
import { type ConnectRecord, IdentityWriter } from "./identity-table.ts";
import { programOfThread, sameImage } from "./program-facts.ts";

/**
 * Records, on a thread of its own, the program behind every connect(2) of the box while the caller waits in the call. Whatever goes wrong,
 * the call goes on: without a record its connection is denied.
 */
declare const self: Worker;

self.onmessage = (event: MessageEvent<RecorderOrder>) => {
  const { table, wake, initPid } = event.data;
  const writer = new IdentityWriter(table);
  const notifications = new ConnectNotifications();
  const listeners = new Set<number>();
  // Blocks this thread for the life of the box; the end of the wake pipe ends it.
  while (true) {
    for (const { fd, readable, finished } of waitForAny([wake, ...listeners])) {
      if (fd === wake) {
        const added = readNumbers(wake);
        if (added === undefined) {
          for (const listener of listeners) close(listener);
          close(wake);
          process.exit(0);
        }
        for (const listener of added) listeners.add(listener);
      } else if (readable) {
        serve(fd, notifications, writer, initPid);
      } else if (finished) {
        // The last process under this filter has ended.
        listeners.delete(fd);
        close(fd);
      }
    }
  }
};

function serve(listener: number, notifications: ConnectNotifications, writer: IdentityWriter, initPid: number): void {
  const report = notifications.receive(listener);
  if (report === undefined) return;
  try {
    const socket = takeSocket(report.thread, report.socket);
    if (socket === undefined) return;
    try {
      if (!isTcpSocket(socket)) return;
      const cookie = socketCookie(socket);
      const record = decide(writer.get(cookie), programOfThread(report.thread, initPid), tcpState(socket) === TCP_CLOSE);
      if (record !== undefined && notifications.stillWaits(listener)) writer.put(cookie, record);
    } finally {
      close(socket);
    }
  } catch {
    // No record is the answer.
  } finally {
    notifications.resume(listener);
  }
}

/** What to store now; undefined keeps what is there. `fresh`: the socket is not connected and not connecting yet. */
function decide(known: ConnectRecord | undefined, facts: ReturnType<typeof programOfThread>, fresh: boolean): ConnectRecord | undefined {
  if (known === undefined) {
    // A connection whose beginning was not seen: somebody else may have made it.
    if (!fresh) return { kind: "ambiguous" };
    return "unknown" in facts ? { kind: "unknown", reason: facts.unknown } : { kind: "program", program: facts.program };
  }
  if (known.kind === "program" && "program" in facts && sameImage(known.program, facts.program)) return undefined;
  return known.kind === "ambiguous" ? undefined : { kind: "ambiguous" };
}

/** A copy of the socket from the thread's own descriptor table. */
function takeSocket(thread: number, fd: number): number | undefined {
  let pidfd: number;
  try {
    pidfd = pidfdOpen(thread, PIDFD_THREAD);
  } catch {
    // Before Linux 6.9: by process, whose table nearly always is the thread's too.
    const process = threadGroupOf(thread);
    if (process === undefined) return undefined;
    pidfd = pidfdOpen(process);
  }
  try {
    return pidfdGetfd(pidfd, fd);
  } finally {
    close(pidfd);
  }
}

/** Numbers of new listeners; undefined at the end of the pipe. */
function readNumbers(wake: number): number[] | undefined {
  const buffer = Buffer.alloc(4096);
  const count = readInto(wake, buffer);
  if (count === 0) return undefined;
  return Array.from({ length: count / 4 }, (_, index) => buffer.readUInt32LE(index * 4));
}
