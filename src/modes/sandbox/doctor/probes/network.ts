import type { Box } from "../../box/contract.ts";
import { openTrap, type Trap } from "../../box/trap.ts";
import { type Finding, probe } from "../finding.ts";

/** Makes the network of a box as every sandbox does. */
export async function networkFindings(): Promise<Finding[]> {
  const trap = await probeTrap();
  const found = trap.opened;
  if (found === undefined) return [trap.finding];
  using _ = found;
  const { captured } = found.listeners;
  return [
    trap.finding,
    await probe({
      feature: "every-port",
      meaning: "direct connections to any port are decided and told by program; without it they are refused unseen",
      otherwise: "degraded",
      run: () =>
        captured.length > 0
          ? "a BPF sk_lookup program steers every TCP port to us"
          : {
              state: "degraded",
              found: found.problems.capture ?? "not available",
              remedy: "run as root, on a kernel with CONFIG_BPF_SYSCALL",
            },
    }),
    await probe({
      feature: "attempts-seen",
      meaning: "attempts past the proxy become events",
      otherwise: "degraded",
      run: () =>
        found.watch === undefined
          ? { state: "degraded", found: found.problems.watch ?? "not available", remedy: "use a kernel with CONFIG_PACKET" }
          : "packet sockets on the link of the box",
    }),
  ];
}

async function probeTrap(): Promise<{ readonly finding: Finding; readonly opened?: Trap & Pick<Box, "watch"> }> {
  let opened: Trap | undefined;
  const finding = await probe({
    feature: "network-namespaces",
    meaning: "the agent's only link leads to the proxy; sockets are handed over by pidfd_getfd and connections found by SOCK_DIAG",
    otherwise: "missing",
    run: async () => {
      opened = await openTrap();
      return "two namespaces, a veth pair, routes and listeners; handed over by pidfd_getfd";
    },
  });
  return { finding, ...(opened && { opened }) };
}
