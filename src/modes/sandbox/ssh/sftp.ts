import { OpenShellError } from "../../../error.ts";
import { ownEnvironment } from "../../../reexec.ts";
import type { Box, Child } from "../box/contract.ts";

/** Where distributions put OpenSSH's server: Debian, Fedora, Arch, Alpine. */
const SYSTEM_SERVERS = [
  "/usr/lib/openssh/sftp-server",
  "/usr/libexec/openssh/sftp-server",
  "/usr/lib/ssh/sftp-server",
  "/usr/libexec/sftp-server",
] as const;

/**
 * The SFTP server of a session, a confined program like the agent: the sandbox's own if it has one, else ours. It gets none of the agent's
 * variables, which could choose what it loads.
 */
export async function launchSftp(box: Box, workdir: string, servers: readonly string[] = SYSTEM_SERVERS): Promise<Child> {
  const environment = ownEnvironment({ HOME: workdir });
  for (const server of servers) {
    try {
      return await box.launch({ argv: [server], environment, workdir, stdio: "pipe" });
    } catch (error) {
      if (OpenShellError.from(error).code !== "not_found") throw error;
    }
  }
  return box.launch({ argv: ["sftp-server"], ownProgram: true, environment, workdir, stdio: "pipe" });
}
