import { KernelError } from "./kernel-error.ts";
import { check, EINTR, ENOENT, syscall } from "./libc.ts";

/** Seccomp user notification (include/uapi/linux/seccomp.h). */
const SECCOMP_IOCTL_NOTIF_RECV = 0xc0502100;
const SECCOMP_IOCTL_NOTIF_SEND = 0xc0182101;
const SECCOMP_IOCTL_NOTIF_ID_VALID = 0x40082102;
const SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1;
const NOTIFICATION_BYTES = 80;
const RESPONSE_BYTES = 24;

/** A thread that waits in connect(2). */
export interface ConnectNotification {
  /** Thread id in the reader's pid namespace. */
  readonly thread: number;
  /** First argument: the socket, as a descriptor of that thread. */
  readonly socket: number;
}

/** Receives and answers the reports of one or many filters; buffers are reused, so one call at a time. */
export class ConnectNotifications {
  readonly #notification = Buffer.alloc(NOTIFICATION_BYTES);
  readonly #response = Buffer.alloc(RESPONSE_BYTES);
  readonly #id = Buffer.alloc(8);

  /** Takes the next report of a listener that poll(2) found readable; undefined when the thread was killed meanwhile. */
  receive(listener: number): ConnectNotification | undefined {
    this.#notification.fill(0);
    const result = syscall("ioctl", listener, SECCOMP_IOCTL_NOTIF_RECV, this.#notification);
    if (result === -ENOENT || result === -EINTR) return undefined;
    check(result, "ioctl", "receive connect report");
    this.#notification.copy(this.#id, 0, 0, 8);
    return { thread: this.#notification.readUInt32LE(8), socket: this.#notification.readInt32LE(32) };
  }

  /** True while the thread of the last report still waits: what was read about it since then is about it. */
  stillWaits(listener: number): boolean {
    return syscall("ioctl", listener, SECCOMP_IOCTL_NOTIF_ID_VALID, this.#id) === 0;
  }

  /** Lets the thread of the last report go on with its call. */
  resume(listener: number): void {
    this.#response.fill(0);
    this.#id.copy(this.#response, 0);
    this.#response.writeUInt32LE(SECCOMP_USER_NOTIF_FLAG_CONTINUE, 20);
    const result = syscall("ioctl", listener, SECCOMP_IOCTL_NOTIF_SEND, this.#response);
    // Gone meanwhile: nobody waits any more.
    if (result < 0 && result !== -ENOENT) throw new KernelError("ioctl", -result, "resume connect");
  }
}
