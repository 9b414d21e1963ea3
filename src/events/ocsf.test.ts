import { expect, test } from "bun:test";
import type { SecurityEvent } from "./event.ts";
import { toOcsf } from "./ocsf.ts";

const context = { sandboxId: "id-1", sandboxName: "demo" };

test("a denied connection is a Network Activity record with rule, disposition and reason", () => {
  const record = toOcsf(
    {
      kind: "network",
      time: 1_700_000_000_000,
      severity: "medium",
      activity: "open",
      action: "denied",
      actor: { binary: "/usr/bin/curl", pid: 58, ancestors: ["/bin/bash"], sha256: "00ff", commandLine: "curl x" },
      host: "httpbin.org",
      port: 443,
      protocol: "tcp",
      engine: "opa",
      reason: "endpoint httpbin.org:443 is not allowed by any policy",
      code: "host_not_allowed",
      stage: "connect",
    },
    context,
  );
  expect(record).toMatchObject({
    class_uid: 4001,
    category_uid: 4,
    activity_id: 1,
    type_uid: 400101,
    type_name: "Network Activity: Open",
    severity_id: 3,
    metadata: { version: "1.8.0", product: { name: "OpenShell Sandbox Supervisor", vendor_name: "OpenShell" } },
    container: { uid: "id-1", name: "demo" },
    dst_endpoint: { hostname: "httpbin.org", port: 443 },
    actor: { process: { pid: 58, file: { path: "/usr/bin/curl", name: "curl", hashes: [{ algorithm_id: 3, value: "00ff" }] } } },
    action_id: 2,
    disposition_id: 2,
    status_id: 2,
    status_detail: "endpoint httpbin.org:443 is not allowed by any policy",
    firewall_rule: { name: "-", type: "opa" },
    unmapped: { denial_stage: "connect" },
  });
});

const base = { time: 0, severity: "informational" } as const;
const typeUids: [SecurityEvent, number][] = [
  [{ ...base, kind: "network", activity: "close", action: "allowed", host: "a", port: 1, protocol: "tcp", engine: "opa" }, 400102],
  [{ ...base, kind: "network", activity: "fail", action: "allowed", host: "a", port: 1, protocol: "tcp", engine: "opa" }, 400104],
  [{ ...base, kind: "network", activity: "refuse", action: "denied", host: "a", port: 1, protocol: "udp", engine: "bypass" }, 400105],
  [{ ...base, kind: "http", action: "allowed", method: "GET", url: "http://a/", host: "a", port: 80, engine: "l7" }, 400203],
  [{ ...base, kind: "http", action: "allowed", method: "PURGE", url: "http://a/", host: "a", port: 80, engine: "l7" }, 400299],
  [{ ...base, kind: "sql", action: "allowed", command: "SELECT", database: "d", host: "a", port: 5432, engine: "l7" }, 600504],
  [{ ...base, kind: "process", activity: "launch", name: "sh", pid: 2 }, 100701],
  [{ ...base, kind: "finding", id: "x", title: "x", evidence: {} }, 200401],
  [{ ...base, kind: "config", activity: "loaded", message: "x" }, 501901],
  [{ ...base, kind: "lifecycle", activity: "stop", message: "x" }, 600204],
];
for (const [event, uid] of typeUids) test(`type_uid ${uid}`, () => expect(toOcsf(event, context)).toMatchObject({ type_uid: uid }));
