import { expect, test } from "bun:test";
import type { NetworkEvent, SecurityEvent } from "../../../../events/event.ts";
import { withBypassFindings } from "./bypass-finding.ts";

const refused: NetworkEvent = {
  kind: "network",
  time: 1,
  severity: "medium",
  activity: "refuse",
  action: "denied",
  actor: { binary: "/usr/bin/ssh", pid: 7, ancestors: ["/usr/bin/git", "/bin/sh"] },
  host: "93.184.216.34",
  port: 22,
  protocol: "tcp",
  engine: "opa",
  stage: "bypass",
};

function record(...events: SecurityEvent[]): SecurityEvent[] {
  const all: SecurityEvent[] = [];
  const emit = withBypassFindings((event) => all.push(event));
  for (const event of events) emit(event);
  return all;
}

test("case-93 the first refusal of a program and destination is also a finding, with evidence and remedy", () => {
  const [, finding, ...rest] = record(refused, refused, { ...refused, time: 2 });
  expect(rest).toEqual([refused, { ...refused, time: 2 }]);
  expect(finding).toEqual({
    kind: "finding",
    time: 1,
    severity: "medium",
    id: "bypass-detect",
    title: "Proxy Bypass Detected",
    evidence: {
      dst_addr: "93.184.216.34",
      dst_port: "22",
      proto: "tcp",
      binary: "/usr/bin/ssh",
      binary_pid: "7",
      ancestors: "/usr/bin/git /bin/sh",
    },
    remediation: "ensure the process honors HTTP_PROXY/HTTPS_PROXY; for Node.js set NODE_USE_ENV_PROXY=1",
  });
});

test("what went through the proxy or was allowed is none; without a program there is one all the same", () => {
  const { actor: _, ...nobody } = refused;
  const findings = record(
    { ...refused, stage: "connect" },
    { ...refused, action: "allowed" },
    { ...nobody, protocol: "udp", port: 53 },
  ).filter(({ kind }) => kind === "finding");
  expect(findings).toMatchObject([{ evidence: { binary: "-", dst_port: "53" }, remediation: expect.stringContaining("DNS queries") }]);
});

test("threat-30 a scan is so many findings and no more", () => {
  const events = Array.from({ length: 5000 }, (_, port) => ({ ...refused, port }));
  expect(record(...events).filter(({ kind }) => kind === "finding")).toHaveLength(256);
});
