/**
 * Sets two policies in turn over the gateway's API, on the host of the test internet, and waits each time until a probe in the sandbox has seen
 * the change. Arguments: file with the gateway's registration, sandbox, probe's file, the two policies' files, rounds. One JSON line on stdout.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { policyToProto } from "../src/policy/proto.ts";
import { parsePolicyYaml } from "../src/policy/yaml.ts";
import { OpenShell } from "../src/rpc/gen/openshell/v1/openshell_pb.ts";

const [registration = "", sandbox = "", file = "", allowing = "", denying = "", rounds = "50"] = process.argv.slice(2);
const workspaceScope = { selection: { case: "workspace", value: "default" } } as const;

async function main(): Promise<void> {
  const { gateway_endpoint: baseUrl } = JSON.parse(readFileSync(registration, "utf8")) as { gateway_endpoint: string };
  const pem = (name: string) => readFileSync(join(dirname(registration), "mtls", name));
  const secure = { ca: pem("ca.crt"), cert: pem("tls.crt"), key: pem("tls.key"), rejectUnauthorized: true };
  const client = createClient(OpenShell, createGrpcTransport({ baseUrl, nodeOptions: secure }));
  const policies = [denying, allowing].map((path) => policyToProto(parsePolicyYaml(readFileSync(path, "utf8"), { source: path })));
  const enforced: number[] = [];
  const answered: number[] = [];
  for (let round = 0; round < Number(rounds); round++) {
    const wanted = round % 2 === 0 ? "denied" : "allowed";
    const seen = changes().length;
    const started = performance.timeOrigin + performance.now();
    await client.updateConfig({ workspaceScope, sandbox, policy: policies[round % 2] });
    answered.push(performance.timeOrigin + performance.now() - started);
    const until = Date.now() + 20_000;
    let change: { readonly time: number; readonly what: string } | undefined;
    while (change === undefined && Date.now() < until) {
      change = changes()
        .slice(seen)
        .find(({ what }) => what === wanted);
      if (change === undefined) await Bun.sleep(5);
    }
    if (change === undefined) throw new Error(`round ${round}: not ${wanted} within 20 s`);
    enforced.push(change.time - started);
  }
  console.log(JSON.stringify({ enforced, answered }));
}

function changes(): { readonly time: number; readonly what: string }[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(" "))
    .map(([time, what = ""]) => ({ time: Number(time), what }));
}

await main();
process.exit(0);
