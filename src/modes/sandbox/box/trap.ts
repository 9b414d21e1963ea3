import { OpenShellError } from "../../../error.ts";
import { close, closeAll } from "../../../linux/descriptors.ts";
import { pidfdGetfd, pidfdOpen } from "../../../linux/pidfd.ts";
import { ownEnvironment, selfCommand } from "../../../reexec.ts";
import type { BoxListeners, BoxResolver, BoxWatch } from "./contract.ts";
import type { NetHelperAnswer, NetHelperProblems } from "./net-helper.ts";
import type { PortHelperAnswer } from "./port-helper.ts";
import { fromWireError } from "./wire-error.ts";

/** The two network namespaces of a sandbox, alive as long as its descriptors. */
export interface Trap extends Disposable {
  /** Network namespace of the agent. */
  readonly boxNamespace: number;
  /** SOCK_DIAG socket inside it. */
  readonly diagnostics: number;
  readonly listeners: BoxListeners;
  /** In place of captured connections where the kernel does not permit them; see `Box.listenOn`. */
  readonly listenOn?: (ports: readonly number[]) => Promise<readonly number[]>;
  readonly watch?: BoxWatch;
  readonly resolver?: BoxResolver;
  /** What the kernel refused, and why. */
  readonly problems: NetHelperProblems;
}

/** Lets a short-lived helper make the namespaces, so that no thread of the supervisor ever leaves the host's; takes its descriptors over. */
export async function openTrap(): Promise<Trap> {
  const helper = Bun.spawn([...selfCommand(), "net-helper"], {
    cwd: "/",
    env: ownEnvironment(),
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    const answer = parseAnswer<NetHelperAnswer>(await firstLine(helper.stdout));
    if ("error" in answer) throw fromWireError(answer.error);
    const pidfd = pidfdOpen(helper.pid);
    const taken: number[] = [];
    const take = (fd: number): number => {
      const own = pidfdGetfd(pidfd, fd);
      taken.push(own);
      return own;
    };
    try {
      const boxNamespace = take(answer.fds.box);
      const diagnostics = take(answer.fds.diagnostics);
      const { proxy, capture, watch, resolver } = answer.fds;
      const listeners = {
        proxy: take(proxy),
        captured: [capture?.ipv4, capture?.ipv6].flatMap((fd) => (fd === undefined ? [] : [take(fd)])),
      };
      if (capture !== undefined) take(capture.link);
      const trap = answer.fds.trap === undefined ? undefined : take(answer.fds.trap);
      const watched = watch && { tcp: take(watch.tcp), udp: take(watch.udp) };
      const resolving = resolver && {
        packets: take(resolver.packets),
        ipv4: take(resolver.ipv4),
        ...(resolver.ipv6 === undefined ? {} : { ipv6: take(resolver.ipv6) }),
      };
      return {
        boxNamespace,
        diagnostics,
        listeners,
        problems: answer.problems,
        ...(trap === undefined
          ? {}
          : {
              listenOn: async (ports) => {
                const fds = await listenIn(trap, ports);
                taken.push(...fds);
                return fds;
              },
            }),
        ...(watched && { watch: watched }),
        ...(resolving && { resolver: resolving }),
        [Symbol.dispose]: () => closeAll(taken),
      };
    } catch (reason) {
      closeAll(taken);
      throw reason;
    } finally {
      close(pidfd);
    }
  } finally {
    // It has nothing of ours any more: its end is not waited for.
    helper.stdin.end();
  }
}

/** Lets a helper enter the trap and listen there. */
async function listenIn(trap: number, ports: readonly number[]): Promise<readonly number[]> {
  const helper = Bun.spawn([...selfCommand(), "net-helper", "listen", ...ports.map(String)], {
    cwd: "/",
    env: ownEnvironment(),
    stdio: ["pipe", "pipe", "inherit", trap],
  });
  try {
    const answer = parseAnswer<PortHelperAnswer>(await firstLine(helper.stdout));
    if ("error" in answer) throw fromWireError(answer.error);
    const pidfd = pidfdOpen(helper.pid);
    try {
      return answer.fds.map((fd) => pidfdGetfd(pidfd, fd));
    } finally {
      close(pidfd);
    }
  } finally {
    helper.stdin.end();
    await helper.exited;
  }
}

function parseAnswer<T>(line: string): T {
  try {
    return JSON.parse(line) as T;
  } catch (cause) {
    throw new OpenShellError("internal", "the network helper ended without an answer", { cause });
  }
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes("\n")) break;
  }
  return text.slice(0, text.indexOf("\n") + 1);
}
