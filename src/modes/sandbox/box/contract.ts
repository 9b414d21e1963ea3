import type { TerminalModes } from "../../../linux/terminal-modes.ts";
import type { ProgramLimits } from "../../../supervisor-spec.ts";

/**
 * The box: the kernel boundary round one agent. Network namespaces with our listeners, the pid namespace with our init, the root view,
 * and the record of which program opened which connection.
 */
export interface Box extends AsyncDisposable {
  /** Listening sockets made inside the trap, the box's own. `Bun.listen({ fd })` closes what it is given: give it a duplicate. */
  readonly listeners: BoxListeners;
  /**
   * Only where connections cannot be captured on every port: listening sockets for single ports of every address, accepting as captured
   * ones do. They stay the box's own. Rejects with an OpenShellError when a port cannot be listened on.
   */
  readonly listenOn?: (ports: readonly number[]) => Promise<readonly number[]>;
  /** Absent where the kernel has no packet sockets. */
  readonly watch?: BoxWatch;
  /** Absent where the kernel has no packet sockets: then no name is answered inside. */
  readonly resolver?: BoxResolver;
  /** Who opened the connection from `peer` (an address of the box) to `local` (an address of the trap). Cheap and synchronous. */
  identify(peer: SocketAddress, local: SocketAddress): Identification;
  /** Starts a confined program. Resolves when the kernel has replaced the shim by the program; rejects with an OpenShellError otherwise. */
  launch(spec: LaunchSpec): Promise<Child>;
  /**
   * Connects to a service on the box's own loopback, without leaving the supervisor's namespaces. Resolves with the descriptor of a
   * connected, non-blocking socket that the caller owns; rejects when nothing listens there.
   */
  connectLoopback(address: LoopbackAddress): Promise<number>;
  /** What was asked of the kernel and what is in force. */
  readonly enforcement: readonly Enforcement[];
  /** Settles when the box's init has died for whatever reason; every process of the agent is gone by then. */
  readonly ended: Promise<void>;
}

export interface BoxListeners {
  /** 10.200.0.1:3128 */
  readonly proxy: number;
  /**
   * Every TCP connection to any other address and port, whose accepted socket has the original destination as its own address. One per
   * family; none where the kernel does not permit it: see `Box.listenOn`.
   */
  readonly captured: readonly number[];
}

/** Packet sockets (see src/linux/bpf/packet-socket.ts) that see attempts to leave past the proxy; they stay the box's own. */
export interface BoxWatch {
  /** The opening packet of every TCP connection that is not to the proxy. */
  readonly tcp: number;
  /** Every UDP datagram. */
  readonly udp: number;
}

/** Where questions for names arrive, whatever resolver a program asks; the sockets stay the box's own. */
export interface BoxResolver {
  /** A packet socket that sees every question over UDP (see src/linux/bpf/packet-filter.ts). */
  readonly packets: number;
  /** Sockets that answers leave by (see src/linux/datagram-reply.ts); the second is absent where the box has no IPv6. */
  readonly ipv4: number;
  readonly ipv6?: number;
}

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** A service inside the box: `address` is in 127.0.0.0/8 or `::1`. */
export type LoopbackAddress = SocketAddress;

/** One process, as it was when it called connect(2). */
export interface ProgramIdentity {
  /** Host pid of the process (not the thread). */
  readonly pid: number;
  /** Clock ticks since boot (field 22 of /proc/PID/stat). */
  readonly startTime: number;
  /** Path inside the box's view. */
  readonly exe: string;
  readonly file: FileIdentity;
  /** Parents inside the box, nearest first, without our init. */
  readonly ancestors: readonly string[];
  /** First 512 bytes of the command line, separated by blanks; evidence only, it can be forged. */
  readonly commandLine: string;
  /** It had memory that is writable and executable at once: a just-in-time compiler, or code that somebody put there (threat 07). */
  readonly writableCode?: true;
}

/** Which file an executable path meant at that moment. */
export interface FileIdentity {
  readonly device: string;
  readonly inode: string;
  readonly size: number;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
}

export type Identification =
  | { readonly known: true; readonly program: ProgramIdentity }
  | { readonly known: false; readonly code: "not_established" | "no_record" | "ambiguous" | "kernel_error"; readonly reason: string };

/** Everything about a program to start; data, never our own environment. */
export interface LaunchSpec {
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Inside the view; must exist. */
  readonly workdir: string;
  /** `inherit`: the supervisor's own stdin, stdout and stderr. */
  readonly stdio: "inherit" | "pipe" | { readonly columns: number; readonly rows: number; readonly modes?: TerminalModes };
  /** Runs our own executable instead of a program of the view: only this program sees it, and it is confined like any other. */
  readonly ownProgram?: true;
}

export interface Child {
  /** Host pid. */
  readonly pid: number;
  /** Own file descriptors of the supervisor; absent with `inherit`. With a terminal all three are the same descriptor. */
  readonly stdio?: { readonly stdin: number; readonly stdout: number; readonly stderr: number };
  /** 0..255, or 128 + signal. */
  readonly exited: Promise<number>;
  /** To the program's process group. */
  signal(signal: number): void;
  resize(columns: number, rows: number): void;
}

/** Requested and enforced state of one protection. */
export interface Enforcement {
  readonly feature: string;
  readonly requested: string;
  readonly enforced: string;
  readonly detail: string;
}

/** What a box is made from. */
export interface BoxSpec {
  readonly sandboxName: string;
  readonly filesystem: { readonly includeWorkdir: boolean; readonly readOnly: readonly string[]; readonly readWrite: readonly string[] };
  readonly landlock: "best_effort" | "hard_requirement";
  /** Numeric ids of the agent; never 0. */
  readonly uid: number;
  readonly gid: number;
  /** Host directory that appears as /sandbox, the agent's home and working directory. */
  readonly workspace: string;
  /** Private scratch directory of this box on the host (mode 0700), emptied afterwards by the caller. */
  readonly runDirectory: string;
  /** Host directory that appears as /etc/openshell-tls: certificates that programs inside are to trust. */
  readonly tlsDirectory?: string;
  readonly mounts: readonly { readonly source: string; readonly target: string; readonly readWrite: boolean }[];
  /**
   * Mounts, and paths of the policy beyond the host's programs, must be what they say: a link on the way is refused. For paths that were
   * permitted earlier, which another sandbox may have led elsewhere since.
   */
  readonly refuseLinks?: boolean;
  /** What the kernel holds the programs to, together; the supervisor and its helpers are outside. */
  readonly limits?: ProgramLimits;
}
