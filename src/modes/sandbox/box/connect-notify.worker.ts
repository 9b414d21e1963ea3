import { ConnectNotifications } from "../../../linux/connect-notifications.ts";
import { close, readInto } from "../../../linux/descriptors.ts";
import { pidfdGetfd } from "../../../linux/pidfd.ts";
import { Poller } from "../../../linux/poll.ts";
import { TCP_CLOSE, tcpFacts } from "../../../linux/socket-facts.ts";
import type { RecorderOrder } from "./connect-recorder.ts";
import { type ConnectRecord, IdentityWriter } from "./identity-table.ts";
import { ProgramReader, sameImage } from "./program-facts.ts";

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
  const poller = new Poller();
  const listeners = new Set<number>();
  const addListeners = () => {
    const added = readNumbers(wake);
    if (added === undefined) {
      for (const listener of listeners) close(listener);
      close(wake);
      programs.close();
      process.exit(0);
    }
    for (const listener of added) {
      listeners.add(listener);
      poller.add(listener);
    }
  };
  poller.add(wake);
  // Blocks this thread for the life of the box; the end of the wake pipe ends it.
  while (true) {
    poller.wait((fd, readable) => {
      if (fd === wake) {
        addListeners();
      } else if (readable) {
        serve(fd, notifications, writer, programs);
      } else {
        // The last process under this filter has ended.
        poller.remove(fd);
        listeners.delete(fd);
        close(fd);
      }
    });
  }
};

function serve(listener: number, notifications: ConnectNotifications, writer: IdentityWriter, programs: ProgramReader): void {
  const report = notifications.receive(listener);
  if (report === undefined) return;
  let socket: number | undefined;
  try {
    const caller = programs.caller(report.thread);
    if (caller === undefined) return;
    socket = pidfdGetfd(caller.task.pidfd, report.socket);
    const tcp = tcpFacts(socket);
    if (tcp === undefined) return;
    const record = decide(writer.get(tcp.cookie), programs.read(caller), tcp.state === TCP_CLOSE);
    if (record !== undefined && notifications.stillWaits(listener)) writer.put(tcp.cookie, record);
  } catch {
    // No record is the answer.
  } finally {
    if (socket !== undefined) close(socket);
    notifications.resume(listener);
  }
}

const AMBIGUOUS: ConnectRecord = { kind: "ambiguous" };

/** What to store now; undefined keeps what is there. `fresh`: the socket is not connected and not connecting yet. */
function decide(known: ConnectRecord | undefined, now: ConnectRecord, fresh: boolean): ConnectRecord | undefined {
  // A connection whose beginning was not seen: somebody else may have made it.
  if (known === undefined) return fresh ? now : AMBIGUOUS;
  if (known.kind === "program" && now.kind === "program" && sameImage(known.program, now.program)) return undefined;
  return known.kind === "ambiguous" ? undefined : AMBIGUOUS;
}

/** Numbers of new listeners; undefined at the end of the pipe. */
function readNumbers(wake: number): number[] | undefined {
  const buffer = Buffer.alloc(4096);
  const count = readInto(wake, buffer);
  if (count === 0) return undefined;
  return Array.from({ length: count / 4 }, (_, index) => buffer.readUInt32LE(index * 4));
}
