import { readSync, writeSync } from "node:fs";
import { MAX_PACKET_BYTES, PacketCutter } from "./packet.ts";
import { SftpServer } from "./server.ts";

const STDIN = 0;
const STDOUT = 1;

/**
 * `openshell sftp-server`: SFTP on standard input and output, one request at a time. Started by the supervisor inside a sandbox, confined like
 * the agent, where the sandbox has no sftp-server of its own.
 */
export function main(): number {
  const server = new SftpServer(process.env["HOME"] ?? "/");
  const packets = new PacketCutter();
  const buffer = Buffer.alloc(MAX_PACKET_BYTES);
  try {
    for (let count = readSync(STDIN, buffer); count > 0; count = readSync(STDIN, buffer)) {
      for (const packet of packets.push(buffer.subarray(0, count))) writeAll(server.answer(packet));
    }
    return 0;
  } catch {
    // A client that sends what is no SFTP, or does not read its answers any more.
    return 1;
  } finally {
    server.close();
  }
}

function writeAll(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(STDOUT, bytes, at);
}
