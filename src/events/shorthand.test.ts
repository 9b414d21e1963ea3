import { expect, test } from "bun:test";
import type { NetworkEvent, SecurityEvent } from "./event.ts";
import { formatShorthand } from "./shorthand.ts";

const curl = { binary: "/usr/bin/curl", pid: 58, ancestors: ["/bin/bash"] };
const allowed: NetworkEvent = {
  kind: "network",
  time: 0,
  severity: "informational",
  activity: "open",
  action: "allowed",
  actor: curl,
  host: "api.github.com",
  port: 443,
  protocol: "tcp",
  policy: "github_api",
  engine: "opa",
};

const golden: [SecurityEvent, string][] = [
  [allowed, "NET:OPEN [INFO] ALLOWED /usr/bin/curl(58) -> api.github.com:443 [policy:github_api engine:opa]"],
  [
    { ...denied(), reason: "endpoint httpbin.org:443 is not allowed by any policy" },
    "NET:OPEN [MED] DENIED /usr/bin/curl(58) -> httpbin.org:443 [policy:- engine:opa] [reason:endpoint httpbin.org:443 is not allowed by any policy]",
  ],
  [
    { ...denied(), activity: "refuse", host: "2001:db8::1", engine: "bypass", protocol: "udp" },
    "NET:REFUSE [MED] DENIED /usr/bin/curl(58) -> [2001:db8::1]:443/udp [policy:- engine:bypass]",
  ],
  [
    {
      kind: "http",
      time: 0,
      severity: "informational",
      action: "allowed",
      method: "GET",
      url: "https://api.example.com/bot[CREDENTIAL]/get[Me]",
      host: "api.example.com",
      port: 443,
      policy: "api",
      engine: "l7",
      credentials: ["BOT_TOKEN", "KEY"],
    },
    "HTTP:GET [INFO] ALLOWED GET https://api.example.com/bot[CREDENTIAL]/get\\x5bMe\\x5d [policy:api engine:l7] [credentials:BOT_TOKEN,KEY]",
  ],
  [
    {
      kind: "http",
      time: 0,
      severity: "medium",
      action: "denied",
      method: "POST",
      url: "http://api.github.com/user/repos",
      host: "api.github.com",
      port: 80,
      policy: "github_api",
      engine: "l7",
    },
    "HTTP:POST [MED] DENIED POST http://api.github.com/user/repos [policy:github_api engine:l7]",
  ],
  [
    {
      kind: "sql",
      time: 0,
      severity: "low",
      action: "allowed",
      command: "DROP",
      database: "shop\n",
      actor: curl,
      host: "db.example.com",
      port: 5432,
      policy: "db",
      engine: "l7",
      stage: "l7_audit",
      reason: "DROP not permitted by policy 'db'",
    },
    "SQL:DROP [LOW] ALLOWED /usr/bin/curl(58) -> db.example.com:5432/shop\\x0a [policy:db engine:l7] [reason:DROP not permitted by policy 'db']",
  ],
  [
    { kind: "process", time: 0, severity: "informational", activity: "terminate", name: "bash", pid: 7, exitCode: 1 },
    "PROC:TERMINATE [INFO] bash(7) [exit:1]",
  ],
  [
    { kind: "config", time: 0, severity: "informational", activity: "loaded", message: "policy loaded", version: 2, hash: "ab12" },
    "CONFIG:LOADED [INFO] policy loaded [version:2] [policy_hash:ab12]",
  ],
  [
    { kind: "finding", time: 0, severity: "high", id: "bypass-detect", title: "Proxy bypass detected", evidence: { dst_port: "53" } },
    'FINDING:bypass-detect [HIGH] "Proxy bypass detected" [dst_port:53]',
  ],
  [
    { kind: "lifecycle", time: 0, severity: "informational", activity: "ready", message: "sandbox demo is ready" },
    "LIFECYCLE:READY [INFO] sandbox demo is ready",
  ],
];

function denied(): NetworkEvent {
  return { ...allowed, severity: "medium", action: "denied", host: "httpbin.org", policy: undefined as never };
}

for (const [event, line] of golden) test(line.slice(0, 60), () => expect(formatShorthand(event)).toBe(line));

test("threat-19: one event is one line of printable ASCII, whatever the agent names its files", () => {
  const line = formatShorthand({
    ...allowed,
    actor: { ...curl, binary: "/tmp/a\nNET:OPEN [INFO] ALLOWED\u202e\x1b[31m" },
    host: "ex\r\nample.com",
    reason: "раураl.com \u0007",
  });
  expect(line).toMatch(/^[\x20-\x7e]+$/);
  expect(line).toContain("/tmp/a\\x0aNET:OPEN\\x20\\x5bINFO\\x5d\\x20ALLOWED\\u202e");
});

test("a long reason is cut at 256 characters", () => {
  expect(formatShorthand({ ...allowed, reason: "x".repeat(300) })).toEndWith(`[reason:${"x".repeat(256)}...]`);
});
