/** A real SSH server, with keys of its own, that runs one command whoever logs in; started only when a test asks for it. */
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PROGRAM = "/usr/sbin/sshd";
/** Where the server insists to keep its unprivileged half. */
const EMPTY_DIRECTORY = "/run/sshd";
/** What a login runs: it tells what was asked for and gives back what is sent. */
const COMMAND = `echo "logged in for: $SSH_ORIGINAL_COMMAND"; cat`;

/** What a client needs: its key, and the line of known_hosts for the server's. */
export interface SshAccess {
  readonly user: string;
  /** Private key, OpenSSH's own format. */
  readonly key: string;
  /** `<type> <base64>`: what follows the host in known_hosts. */
  readonly hostKey: string;
}

/** Why there is no server; undefined when there can be. */
export function missingSshd(): string | undefined {
  return existsSync(PROGRAM) ? undefined : "sshd is not installed (Debian package openssh-server)";
}

/** Starts the server on every address. */
export async function startSshd(directory: string, port: number): Promise<SshAccess> {
  const own = join(directory, `sshd-${port}`);
  mkdirSync(own, { mode: 0o755 });
  chmodSync(directory, 0o755);
  mkdirSync(EMPTY_DIRECTORY, { recursive: true, mode: 0o755 });
  const [host, client] = [makeKey(join(own, "host")), makeKey(join(own, "client"))];
  const file = (name: string, text: string) => {
    writeFileSync(join(own, name), text, { mode: 0o600 });
    return join(own, name);
  };
  const authorized = file("authorized_keys", `restrict,command="${COMMAND.replaceAll('"', '\\"')}" ${client.public}\n`);
  const configuration = file(
    "config",
    `Port ${port}
ListenAddress 0.0.0.0
HostKey ${join(own, "host")}
AuthorizedKeysFile ${authorized}
StrictModes no
PermitRootLogin forced-commands-only
AuthenticationMethods publickey
UsePAM no
PidFile none
`,
  );
  // It ends with us, however we end.
  const server = spawn("setpriv", ["--pdeathsig", "KILL", PROGRAM, "-D", "-e", "-f", configuration], {
    cwd: own,
    env: { PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  await new Promise<void>((resolve, reject) => {
    let log = "";
    server.stderr.on("data", (chunk: Buffer) => {
      log += chunk.toString();
      if (log.includes("Server listening on")) resolve();
    });
    server.once("exit", (code) => reject(new Error(`sshd ended with ${code}: ${log}`)));
  });
  return { user: "root", key: client.private, hostKey: host.public };
}

function makeKey(path: string): { readonly private: string; readonly public: string } {
  const made = spawnSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path]);
  if (made.status !== 0) throw new Error(`ssh-keygen: ${made.stderr}`);
  return { private: readFileSync(path, "utf8"), public: readFileSync(`${path}.pub`, "utf8").trim() };
}
