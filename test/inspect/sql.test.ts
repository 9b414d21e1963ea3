/** psql inside a sandbox, and a PostgreSQL server: statements are told of, TLS is ended on the way, servers are verified. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { CA, Inside, installed, missingFor, pathOf } from "../clients/inside.ts";
import { DATABASE, postgresPrograms } from "../internet/servers/postgres.ts";

const program = (name: string) => installed(name, join(postgresPrograms() ?? "/nonexistent", name));
const PSQL = program("psql");
const PGBENCH = program("pgbench");
const missing = missingFor("SQL statements", PSQL, PGBENCH);

/** With TLS, without, and with a certificate for another name. */
const PORTS = { secure: 5433, plain: 5434, wrong: 5435 } as const;
const HOST = "db.example.com";
const UNWATCHED = "93.184.216.51";

describe.skipIf(missing !== undefined)("SQL statements", () => {
  let inside: Inside;
  beforeAll(async () => {
    const ports = Object.values(PORTS).join(", ");
    const endpoints = [`${HOST}, ports: [${ports}], protocol: sql, access: read-only`, `${UNWATCHED}, port: ${PORTS.secure}, tls: skip`];
    inside = await Inside.open([{ binaries: [pathOf(PSQL), pathOf(PGBENCH)], endpoints }]);
    await inside.net.startPostgres(PORTS.secure, HOST);
    await inside.net.startPostgres(PORTS.plain, null);
    await inside.net.startPostgres(PORTS.wrong, "other.example.com");
  }, 60_000);
  afterAll(() => inside?.[Symbol.asyncDispose]());

  const connection = (port: number, more: string, host = HOST) =>
    `host=${host} port=${port} user=${DATABASE.user} password=${DATABASE.password} dbname=${DATABASE.name} ${more}`;
  const psql = (port: number, more: string, script: string, host = HOST) =>
    inside.run([pathOf(PSQL), "-XAtq", "-v", "ON_ERROR_STOP=1", connection(port, more, host)], [], script);
  const told = (log: string) =>
    [...log.matchAll(/SQL:(\S+) \[(\w+)\] (\w+) .* -> ([\w.]+:\d+\/\w+) /g)].map((match) => match.slice(1).join(" "));
  /** Whether the server sees TLS. */
  const SSL = "select ssl from pg_stat_ssl where pid = pg_backend_pid();\n";

  test("each statement is told of, inside TLS that both sides verify", async () => {
    const script = `${SSL}create table t (a int)\\; insert into t values (1);\n`;
    const { stdout, stderr, exitCode } = await psql(PORTS.secure, `sslmode=verify-full sslrootcert=${CA}`, script);
    expect([exitCode, stdout]).toEqual([0, "t\n"]);
    const at = `${HOST}:${PORTS.secure}/${DATABASE.name}`;
    expect(told(stderr)).toEqual([`SELECT INFO ALLOWED ${at}`, `CREATE LOW ALLOWED ${at}`, `INSERT LOW ALLOWED ${at}`]);
    expect(stderr).toMatch(/SQL:CREATE .*CREATE not permitted by policy 'rule_0'/);
    expect(stderr).not.toContain(DATABASE.password);
  });

  test("prepared statements are told of when they are prepared", async () => {
    const prepared = [pathOf(PGBENCH), "-n", "-M", "prepared", "-t", "3", "-f", "/tmp/script"].join(" ");
    const { stderr } = await inside.script(
      `echo 'delete from pg_class where false;' > /tmp/script; ${prepared} "${connection(PORTS.secure, "sslmode=require")}" >&2`,
    );
    expect(stderr).toContain("number of transactions actually processed: 3/3");
    expect(told(stderr).filter((line) => line.startsWith("DELETE LOW ALLOWED")).length).toBe(1);
  });

  test("a server without TLS says so to the client, who decides", async () => {
    const { stdout, stderr } = await psql(PORTS.plain, "sslmode=prefer", SSL);
    expect(stdout).toBe("f\n");
    expect(told(stderr).length).toBe(1);
    const strict = await psql(PORTS.plain, "sslmode=require", SSL);
    expect(strict).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("server does not support SSL") });
  });

  test("a client that wants no TLS has none", async () => {
    expect((await psql(PORTS.secure, "sslmode=disable", SSL)).stdout).toBe("f\n");
  });

  test("a server whose certificate is for another name is not spoken to", async () => {
    const { exitCode, stderr } = await psql(PORTS.wrong, "sslmode=require", SSL);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/DENIED .*certificate is not accepted/);
  });

  test("a large result and a large load pass", async () => {
    const load = `create temp table l (a text);\ncopy l from stdin;\n${`${"x".repeat(999)}\n`.repeat(3000)}\\.\nselect sum(length(a)) from l;\nselect length(repeat('y', 5000000));\nselect repeat('z', 3000000);\n`;
    const { stdout, stderr } = await psql(PORTS.secure, "sslmode=require", load);
    const [sum, length, text] = stdout.split("\n");
    expect([sum, length, text?.length]).toEqual(["2997000", "5000000", 3_000_000]);
    expect(told(stderr).map((line) => line.split(" ")[0])).toEqual(["CREATE", "COPY", "SELECT", "SELECT", "SELECT"]);
  });

  test("without rules about statements nothing is ended and nothing told", async () => {
    const { stdout, stderr } = await psql(PORTS.secure, "sslmode=require", SSL, UNWATCHED);
    expect([stdout, told(stderr)]).toEqual(["t\n", []]);
  });
});
