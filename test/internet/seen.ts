/** What the servers of the test internet saw. A refused attempt must leave no trace here. */
import { readFileSync } from "node:fs";
import type { DnsQuestion } from "./dns/server.ts";

export interface SeenConnection {
  /** The address and port that the client dialled. */
  readonly address: string;
  readonly port: number;
}

export interface SeenRequest extends SeenConnection {
  readonly scheme: "http" | "https";
  readonly method: string;
  readonly path: string;
  readonly host: string;
}

/** Packets that reached the internet's side at all, to any port of any address, answered or not. */
export interface SeenPackets {
  readonly tcp: number;
  readonly udp: number;
}

export interface Seen {
  readonly connections: readonly SeenConnection[];
  readonly requests: readonly SeenRequest[];
  readonly questions: readonly DnsQuestion[];
  readonly packets: SeenPackets;
  /** Connections that are not over yet, the closing handshake included: they may still add packets. */
  readonly open: number;
}

/** Connections and requests remembered one by one; a load test goes far beyond and is only interested in rates. */
const MAX_REMEMBERED = 10_000;

export class Remembered<T> {
  readonly items: T[] = [];
  add(item: T): void {
    if (this.items.length < MAX_REMEMBERED) this.items.push(item);
  }
}

function counters(file: string, prefix: string): Map<string, number> {
  const lines = readFileSync(file, "utf8").split("\n");
  const rows = lines.filter((line) => line.startsWith(prefix)).map((line) => line.trim().split(/\s+/).slice(1));
  const [names = [], values = []] = rows;
  return new Map(names.map((name, index) => [name, Number(values[index])]));
}

/** Counters of the kernel for this network namespace (/proc/net/snmp, /proc/net/snmp6), so that no packet can go unseen. */
export function countPackets(): SeenPackets {
  const udp = counters("/proc/self/net/snmp", "Udp:");
  const udp6 = new Map(
    readFileSync("/proc/self/net/snmp6", "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .map(([name, value]) => [name ?? "", Number(value)]),
  );
  const total = (from: Map<string, number>, ...names: string[]) => names.reduce((sum, name) => sum + (from.get(name) ?? 0), 0);
  return {
    tcp: total(counters("/proc/self/net/snmp", "Tcp:"), "InSegs"), // IPv4 and IPv6 together
    udp: total(udp, "InDatagrams", "NoPorts") + total(udp6, "Udp6InDatagrams", "Udp6NoPorts"),
  };
}

/** TCP connections of this network namespace that may still exchange packets (/proc/net/tcp, column `st`). */
export function countOpenConnections(): number {
  const LISTEN = "0A";
  const TIME_WAIT = "06";
  const states = ["tcp", "tcp6"].flatMap((file) =>
    readFileSync(`/proc/self/net/${file}`, "utf8")
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/)[3]),
  );
  return states.filter((state) => state !== LISTEN && state !== TIME_WAIT).length;
}
