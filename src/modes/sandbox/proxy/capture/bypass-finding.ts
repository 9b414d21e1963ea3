import type { EventSink, NetworkEvent } from "../../../../events/event.ts";
import { hintFor } from "./hints.ts";

/** Different attempts that become a finding, in the life of a sandbox; a program that makes more is scanning, and its events say so. */
const MAX_FINDINGS = 256;

/** A sink before another: the first refusal of each program, destination and protocol past the proxy also becomes a finding. */
export function withBypassFindings(emit: EventSink): EventSink {
  const known = new Set<string>();
  return (event) => {
    emit(event);
    if (event.kind !== "network" || event.stage !== "bypass" || event.action !== "denied") return;
    const key = [event.actor?.binary ?? "", event.host, event.port, event.protocol].join("\0");
    if (known.has(key) || known.size >= MAX_FINDINGS) return;
    known.add(key);
    emit({
      kind: "finding",
      time: event.time,
      severity: "medium",
      id: "bypass-detect",
      title: "Proxy Bypass Detected",
      evidence: evidenceOf(event),
      remediation: hintFor(event.protocol, event.port),
    });
  };
}

function evidenceOf({ host, port, protocol, actor }: NetworkEvent): Record<string, string> {
  const destination = { dst_addr: host, dst_port: String(port), proto: protocol };
  if (actor === undefined) return { ...destination, binary: "-" };
  return { ...destination, binary: actor.binary, binary_pid: String(actor.pid), ancestors: actor.ancestors.join(" ") };
}
