import { boxAddresses, trapAddresses } from "./net-addresses.ts";
import { WORKSPACE_PATH } from "./view-layout.ts";

/** Name of the agent's account inside the box. */
export const AGENT_NAME = "sandbox";

/** The files of /etc that are written anew for each box: no account, name or server of the host appears in them. */
export function synthesisedConfiguration(box: { uid: number; gid: number; hostName: string; shell: string }): Record<string, string> {
  return {
    passwd: lines(
      "root:x:0:0:root:/root:/usr/sbin/nologin",
      `${AGENT_NAME}:x:${box.uid}:${box.gid}:${AGENT_NAME}:${WORKSPACE_PATH}:${box.shell}`,
      "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
    ),
    group: lines("root:x:0:", `${AGENT_NAME}:x:${box.gid}:`, "nogroup:x:65534:"),
    hostname: lines(box.hostName),
    hosts: lines("127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback", `${boxAddresses.ipv4} ${box.hostName}`),
    // Every resolver address leads to the trap; this one is the trap itself.
    "resolv.conf": lines(`nameserver ${trapAddresses.ipv4}`, "options timeout:2 attempts:1"),
    "nsswitch.conf": lines("passwd: files", "group: files", "shadow: files", "hosts: files dns", "services: files", "protocols: files"),
  };
}

function lines(...list: string[]): string {
  return `${list.join("\n")}\n`;
}
