/** A real PostgreSQL server, of a test's own, with TLS and with passwords (SCRAM); started only when a test asks for it. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestCa } from "../certificates.ts";

const VERSIONS = "/usr/lib/postgresql";
/** The server refuses to run as root. */
const NOBODY = 65_534;

export const DATABASE = { name: "shop", user: "agent", password: "tulip" } as const;

/** Directory of the programs; undefined: not installed. */
export function postgresPrograms(): string | undefined {
  const versions = existsSync(VERSIONS) ? readdirSync(VERSIONS).sort() : [];
  return versions.map((version) => join(VERSIONS, version, "bin")).findLast((path) => existsSync(join(path, "postgres")));
}

/** Starts the server on every address; `name`: what its certificate is for, none: it speaks no TLS. */
export async function startPostgres(directory: string, port: number, name: string | null, ca: TestCa): Promise<void> {
  const programs = postgresPrograms();
  if (programs === undefined) throw new Error("postgres is not installed");
  const own = join(directory, `postgres-${port}`);
  const data = join(own, "data");
  const put = (file: string, text: string) => {
    writeFileSync(join(own, file), text, { mode: 0o600 });
    chownSync(join(own, file), NOBODY, NOBODY);
    return join(own, file);
  };
  mkdirSync(own);
  chmodSync(directory, 0o755);
  chownSync(own, NOBODY, NOBODY);
  const env = { PATH: process.env["PATH"] ?? "", LANG: "C.UTF-8" };
  const as = { uid: NOBODY, gid: NOBODY, cwd: own, env } as const;
  const made = spawnSync(
    join(programs, "initdb"),
    ["-D", data, "-U", DATABASE.user, "--pwfile", put("password", DATABASE.password), "-A", "scram-sha-256", "--no-sync"],
    as,
  );
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr}${made.error?.message ?? ""}`);
  const leaf = name === null ? undefined : await ca.leaf(name);
  const tls =
    leaf === undefined
      ? []
      : ["-c", "ssl=on", "-c", `ssl_cert_file=${put("cert", leaf.cert)}`, "-c", `ssl_key_file=${put("key", leaf.key)}`];
  put("data/pg_hba.conf", "local all all trust\nhost all all all scram-sha-256\n");
  const options = ["-D", data, "-p", String(port), "-h", "*", "-k", own, "-c", "fsync=off", ...tls];
  // It ends with us, however we end.
  const drop = ["--reuid", String(NOBODY), "--regid", String(NOBODY), "--clear-groups", "--pdeathsig", "KILL"];
  const server = spawn("setpriv", [...drop, join(programs, "postgres"), ...options], {
    cwd: own,
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  await ready(server);
  const created = spawnSync(join(programs, "createdb"), ["-h", own, "-p", String(port), "-U", DATABASE.user, DATABASE.name], as);
  if (created.status !== 0) throw new Error(`createdb: ${created.stderr}`);
}

function ready(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = "";
    server.stderr?.on("data", (chunk: Buffer) => {
      log += chunk.toString();
      if (log.includes("ready to accept connections")) resolve();
    });
    server.once("exit", (code) => reject(new Error(`postgres ended with ${code}: ${log}`)));
  });
}
