import { hasCapability } from "../../../linux/capabilities.ts";
import { ownEnvironment, selfCommand } from "../../../reexec.ts";
import { spawnInUserNamespace } from "../rootless/enter.ts";
import { type Finding, probe } from "./finding.ts";
import { machineProbes } from "./machine.ts";
import { userNamespaces } from "./user-namespaces.ts";

/** What takes longer hangs: a whole box takes about a tenth of a second. Milliseconds. */
const PROBE_TIMEOUT = 20_000;

/** Everything a sandbox takes from this machine, tried as the caller would get it. */
export async function examine(): Promise<Finding[]> {
  const findings = [];
  for (const each of [...machineProbes, userNamespaces]) findings.push(await probe(each));
  const blocked = findings.some(({ feature, state }) => state === "missing" && (feature === "user-namespaces" || feature === "privileges"));
  return blocked ? findings : [...findings, ...(await tried())];
}

/** Probes that change the process they run in: in one of their own, with the privileges a supervisor would have. */
async function tried(): Promise<Finding[]> {
  const words = ["doctor-probe"];
  const helper = hasCapability("sys_admin")
    ? Bun.spawn([...selfCommand(), ...words], { cwd: "/", env: ownEnvironment(), stdio: ["ignore", "pipe", "inherit"] })
    : spawnInUserNamespace(words);
  const timer = setTimeout(() => helper.kill("SIGKILL"), PROBE_TIMEOUT);
  const text = await new Response(helper.stdout).text();
  const code = await helper.exited;
  clearTimeout(timer);
  const findings = text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Finding);
  if (code === 0) return findings;
  const last = findings.at(-1)?.feature ?? "the first";
  const found = `the probe after ${last} ended with ${helper.signalCode ?? `code ${code}`}`;
  return [
    ...findings,
    { feature: "probes", state: "missing", found, meaning: "what comes after it was not tried", remedy: "see its messages above" },
  ];
}
