import { OpenShellError } from "../../../../error.ts";
import { close } from "../../../../linux/descriptors.ts";
import { syscall } from "../../../../linux/libc.ts";
import { NETLINK_SOCK_DIAG, openNetlink } from "../../../../linux/netlink/socket.ts";
import { setNoNewPrivileges } from "../../../../linux/privileges.ts";
import { agentFilter, connectFilter } from "../../../../linux/seccomp/agent-filter.ts";
import { installFilter, installFilterWithListener } from "../../../../linux/seccomp/install.ts";
import { architecture } from "../../../../linux/syscall-numbers.ts";
import { ConnectRecorder } from "../../box/connect-recorder.ts";
import { type Finding, type Outcome, probe } from "../finding.ts";

const remedy = "use a kernel of 5.19 or newer; in a container allow seccomp(2) and pidfd_getfd(2)";

/** Reports this thread's connections to a recorder, for good, and makes one. */
export function seccompNotifyFinding(): Promise<Finding> {
  return probe({
    feature: "seccomp-notify",
    meaning: "the supervisor learns which program opens a connection before it happens; connections without that are denied",
    otherwise: "missing",
    run: recordedConnection,
  });
}

async function recordedConnection(): Promise<Outcome> {
  const diagnostics = openNetlink(NETLINK_SOCK_DIAG);
  await using recorder = new ConnectRecorder();
  recorder.start(process.ppid);
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  try {
    setNoNewPrivileges();
    recorder.add(installFilterWithListener(connectFilter(filterArchitecture())));
    const client = await Bun.connect({ hostname: "127.0.0.1", port: server.port, socket: { data() {} } });
    const end = { address: client.localAddress, port: client.localPort };
    const answer = recorder.identify(diagnostics, end, { address: "127.0.0.1", port: server.port });
    client.terminate();
    // We are recorded, and refused for being ourselves: no rule ever means the openshell executable.
    if (answer.known || answer.code === "kernel_error") return "a connection was reported, held and recorded by program";
    return { state: "missing", found: `a connection was not recorded: ${answer.reason}`, remedy };
  } finally {
    server.stop(true);
    close(diagnostics);
  }
}

/** Filters this thread, for good: the last probe of a process. */
export function seccompFinding(): Promise<Finding> {
  return probe({
    feature: "seccomp",
    meaning: "system calls an agent has no use for are refused; no sandbox starts without",
    otherwise: "missing",
    run() {
      setNoNewPrivileges();
      installFilter(agentFilter(filterArchitecture()));
      const AF_PACKET = 17;
      const SOCK_RAW = 3;
      const EAFNOSUPPORT = 97;
      if (syscall("socket", AF_PACKET, SOCK_RAW, 0) !== -EAFNOSUPPORT)
        return { state: "missing", found: "the filter has no effect", remedy };
      return "the agents' filter is in force and refuses a packet socket";
    },
  });
}

function filterArchitecture() {
  if (architecture === undefined)
    throw new OpenShellError("failed_precondition", `no filter for ${process.arch}`, { next: "use x86-64 or arm64" });
  return architecture;
}
