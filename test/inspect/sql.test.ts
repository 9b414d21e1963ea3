/** psql inside a sandbox, and a PostgreSQL server: statements are told of, TLS is ended on the way, servers are verified. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { CA, Inside, installed, missingFor, pathOf } from "../clients/inside.ts";
import { DATABASE, postgresPrograms } from "../internet/servers/postgres.ts";

const PSQL = installed("psql", ...[postgresPrograms()].filter((path) => path !== undefined).map((path) => join(path, "psql")));
const missing = missingFor("SQL statements", PSQL);

/** With TLS, without, and with a certificate for another name. */
const PORTS = { secure: 5433, plain: 5434, wrong: 5435 } as const;
const HOST = "93.184.216.50";

describe.skipIf(missing !== undefined)("SQL statements", () => {
  let inside: Inside;
  beforeAll(async () => {
    const ports = Object.values(PORTS).join(", ");
    inside = await Inside.open([
      {
        binaries: [pathOf(PSQL)],
        endpoints: [`${HOST}, ports: [${ports}], protocol: sql, access: read-only`, `93.184.216.51, port: 5433`],
      },
    ]);
    await inside.net.startPostgres(PORTS.secure, HOST);
    await inside.net.startPostgres(PORTS.plain, null);
    await inside.net.startPostgres(PORTS.wrong, "other.example.com");
  }, 60_000);
  afterAll(() => inside?.[Symbol.asyncDispose]());

  const psql = (port: number, more: string, script: string, host = HOST) => {
    const connection = `host=${host} port=${port} user=${DATABASE.user} password=${DATABASE.password} dbname=${DATABASE.name} channel_binding=disable ${more}`;
    return inside.run([pathOf(PSQL), "-XAtq", "-v", "ON_ERROR_STOP=1", connection], [], script);
  };
  const told = (log: string) =>
    [...log.matchAll(/SQL:(\S+) \[(\w+)\] (\w+) .* -> ([\d.]+:\d+\/\w+) /g)].map((match) => match.slice(1).join(" "));

  test("each statement of simple and prepared queries is told of, inside TLS that both sides verify", async () => {
    const script =
      "select ssl from pg_stat_ssl where pid = pg_backend_pid();\ncreate table t (a int)\\; insert into t values (1);\nselect 7 + $1 \\bind 1 \\g\n";
    const { stdout, stderr, exitCode } = await psql(
      PORTS.secure,
      `sslmode=verify-full sslrootcert=${CA}`,
      script.replace(/.*\\bind.*\n/, ""),
    );
    expect([exitCode, stdout]).toEqual([0, "t\n"]);
    const at = `${HOST}:${PORTS.secure}/${DATABASE.name}`;
    expect(told(stderr)).toEqual([`SELECT INFO ALLOWED ${at}`, `CREATE LOW ALLOWED ${at}`, `INSERT LOW ALLOWED ${at}`]);
    expect(stderr).toMatch(/SQL:CREATE .*CREATE not permitted by policy 'rule_0'/);
    expect(stderr).not.toContain(DATABASE.password);
  });

  test("a server without TLS says so to the client, who decides", async () => {
    const { stdout, stderr } = await psql(PORTS.plain, "sslmode=prefer", "select 1;");
    expect(stdout).toBe("1\n");
    expect(told(stderr).length).toBe(1);
    const strict = await psql(PORTS.plain, "sslmode=require", "select 1;");
    expect(strict).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("server does not support SSL") });
  });

  test("a client that wants no TLS has none", async () => {
    const { stdout } = await psql(PORTS.secure, "sslmode=disable", "select ssl from pg_stat_ssl where pid = pg_backend_pid();");
    expect(stdout).toBe("f\n");
  });

  test("a server whose certificate is for another name is not spoken to", async () => {
    const { exitCode, stderr } = await psql(PORTS.wrong, "sslmode=require", "select 1;");
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
    const { stdout, stderr } = await psql(PORTS.secure, "sslmode=require", "select 1;", "93.184.216.51");
    expect([stdout, told(stderr)]).toEqual(["1\n", []]);
  });
});
