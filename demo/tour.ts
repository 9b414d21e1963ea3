/** The loop, step by step: denied, proposed, approved, allowed, and still denied for everyone else. */
import { Installation } from "../test/e2e/installation.ts";
import { allowed, other } from "../test/e2e/programs.ts";
import { type Finished, missingForTestInternet, openTestInternet } from "../test/internet/open.ts";
import { command, explain, output, verdict } from "./narrator.ts";

const POLICY = `version: 1
network_policies:
  example_api:
    endpoints:
      - { host: api.example.com, ports: [80, 443], protocol: rest, enforcement: enforce, access: read-only }
    binaries:
      - { path: ${allowed.path} }
`;

/** A person reads the demo; a proposal that is not there by then is a failure to show. */
const PROPOSAL_WITHIN_MS = 15_000;

function lastLine({ stdout, stderr }: Finished): string {
  return (stdout + stderr).trim().split("\n").at(-1) ?? "";
}

/** Runs the whole demo; 0 when every step did what its line says. */
export async function tour(): Promise<number> {
  const missing = missingForTestInternet();
  if (missing !== undefined) {
    console.error(`Error: the demo cannot run here: ${missing}`);
    return 1;
  }
  let failures = 0;
  const expectThat = (good: boolean, text: string) => {
    if (!good) failures += 1;
    verdict(good, text);
  };

  await using net = await openTestInternet();
  await using shell = new Installation(net, "demo");

  const openshell = async (...argv: string[]): Promise<Finished> => {
    command(`openshell ${argv.join(" ")}`);
    const finished = await shell.cli(argv);
    output(finished.stdout + finished.stderr);
    return finished;
  };
  /** The same where only the end of the output is news. */
  const openshellBriefly = async (...argv: string[]): Promise<Finished> => {
    command(`openshell ${argv.join(" ")}`);
    const finished = await shell.cli(argv);
    output(lastLine(finished));
    return finished;
  };
  /** The sandboxed program fetches; the command line shown is the readable part of it. */
  const fetchInside = async (program: typeof allowed, url: string, ...flags: string[]): Promise<Finished> => {
    const shown = [...flags, url].join(" ");
    command(`openshell sandbox exec -n demo -- ${program.name === "curl" ? `curl -sS ${shown}` : `${program.name} … ${shown}`}`);
    const finished = await shell.exec("demo", ...program.fetch(url), ...flags);
    const readable = finished.stdout.startsWith("{") ? finished.stdout : lastLine(finished); // not every program prints the answer's body
    output(readable);
    return finished;
  };
  /** Packets and DNS questions that have arrived in the internet, once nothing is under way any more. */
  const arrived = async () => {
    const { packets, questions } = await net.seenWhenQuiet();
    return { tcp: packets.tcp, udp: packets.udp, questions: questions.length };
  };

  console.log("OpenShell in one minute. Everything below is real, inside a private internet that this demo makes and takes away again.");

  explain("A gateway keeps sandboxes, policies and proposals. It listens on loopback, with its own certificate authority.");
  command("openshell gateway serve &");
  const idle = { namespaces: await net.namespaces(), mounts: await net.mounts() };
  const gateway = await shell.startGateway();
  output(gateway.stdout.trim().split("\n").slice(-1)[0] ?? "");
  const serving = { processes: (await net.processes()).length };

  explain(`A sandbox with a policy: ${allowed.name}, and only ${allowed.name}, may read from api.example.com.`);
  output(POLICY);
  command("openshell sandbox create --name demo --policy policy.yaml");
  await shell.create("demo", POLICY);
  await openshell("sandbox", "list");

  explain("What the policy names works.");
  expectThat((await fetchInside(allowed, "http://api.example.com/hello")).exitCode === 0, `${allowed.name} reached api.example.com`);

  explain("Another host is denied: its name is not even looked up, and no packet leaves.");
  const before = await arrived();
  const deniedAt = performance.now();
  const denied = await fetchInside(allowed, "http://cdn.example.net/file");
  expectThat(denied.exitCode !== 0 && Bun.deepEquals(before, await arrived()), "denied; the internet saw no packet and no DNS question");

  explain("The denial has become a proposal that a person can read.");
  const chunk = await shell.waitForDraft("demo", "cdn.example.net", PROPOSAL_WITHIN_MS);
  const seconds = (performance.now() - deniedAt) / 1000;
  await openshell("sandbox", "draft", "demo");
  expectThat(true, `visible ${seconds.toFixed(1)} s after the denied request was started`);

  explain("The person approves exactly that. The new policy is pushed, and the command returns when it is in force.");
  const approvedAt = performance.now();
  expectThat(
    (await openshellBriefly("sandbox", "draft", "approve", "demo", chunk.id.slice(0, 8), "--wait", "--yes")).exitCode === 0,
    "approved",
  );

  explain("The same request passes now.");
  const passed = await fetchInside(allowed, "http://cdn.example.net/file");
  expectThat(passed.exitCode === 0, `allowed, ${((performance.now() - approvedAt) / 1000).toFixed(1)} s after the approval was typed`);

  explain(`Another program's request does not: ${other.name} was never approved.`);
  expectThat((await fetchInside(other, "http://cdn.example.net/file")).exitCode !== 0, `${other.name} is denied`);

  explain("There is no way around: a direct connection that ignores the proxy, and the cloud's metadata address, lead nowhere.");
  const quiet = await arrived();
  command(`openshell sandbox exec -n demo -- ${other.name} (connect to 93.184.216.34:80, to 169.254.169.254:80)`);
  for (const address of ["93.184.216.34", "169.254.169.254"]) {
    expectThat((await shell.exec("demo", ...other.dial(address, 80))).exitCode !== 0, `${address} is out of reach`);
  }
  expectThat(Bun.deepEquals(quiet, await arrived()), "the internet saw no packet");

  explain("An approval can be taken back.");
  expectThat((await openshellBriefly("sandbox", "draft", "undo", "demo", chunk.id.slice(0, 8), "--wait")).exitCode === 0, "undone");
  expectThat((await fetchInside(allowed, "http://cdn.example.net/file")).exitCode !== 0, "denied again");

  // Of the programs that the demo finds on a machine, this one is asked for other methods by a flag.
  if (allowed.name === "curl") {
    explain(
      "Requests are decided one by one: the policy lets curl read from api.example.com, so what it sends there is denied, and proposed.",
    );
    const issues = "http://api.example.com/repos/acme/issues";
    expectThat((await fetchInside(allowed, issues, "-X", "POST")).exitCode !== 0, "POST is denied, inside a connection that is allowed");
    const request = await shell.waitForDraft("demo", "api.example.com", PROPOSAL_WITHIN_MS);
    const approval = ["sandbox", "draft", "approve", "demo", request.id.slice(0, 8), "--wait", "--yes"];
    command(`openshell ${approval.join(" ")}`);
    const approvedRequest = await shell.cli(approval);
    output(approvedRequest.stdout.split("\n")[0] ?? "");
    expectThat(approvedRequest.exitCode === 0, "approved: exactly that request");
    expectThat((await fetchInside(allowed, issues, "-X", "POST")).exitCode === 0, "POST /repos/acme/issues passes");
    expectThat((await fetchInside(allowed, issues, "-X", "DELETE")).exitCode !== 0, "DELETE does not");
  }

  explain("Deleting the sandbox leaves nothing: no process, no mount, no namespace.");
  await openshell("sandbox", "delete", "demo");
  await shell.waitForProcesses("the end of the sandbox's processes", (lines) => lines.length <= serving.processes);
  const left = { namespaces: await net.namespaces(), mounts: await net.mounts() };
  expectThat(Bun.deepEquals(left, idle), "nothing left");

  console.log(failures === 0 ? "\nDone: every step did what its line says." : `\n${failures} steps did not do what their line says.`);
  return failures === 0 ? 0 : 1;
}
