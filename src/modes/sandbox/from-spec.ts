import { readFileSync } from "node:fs";
import type { SupervisorSpec } from "../../supervisor-spec.ts";
import { Ground } from "./box/ground.ts";
import { gainPrivileges } from "./rootless/enter.ts";

/** `openshell sandbox run --spec FILE`: the supervisor that a gateway's driver starts. What takes longest begins first: the processes of the box. */
export async function runFromSpec(specFile: string): Promise<number> {
  gainPrivileges();
  const spec = JSON.parse(readFileSync(specFile, "utf8")) as SupervisorSpec;
  const ground = new Ground(spec.limits?.groups);
  const { runUnderGateway } = await import("./under-gateway.ts");
  return runUnderGateway(spec, ground);
}

/** The same as a process of its own, which says why it failed as every command does. */
export async function main(specFile: string): Promise<number> {
  try {
    return await runFromSpec(specFile);
  } catch (reason) {
    const [{ reportError }, { processTerminal }] = await Promise.all([
      import("../../command/report.ts"),
      import("../../command/terminal.ts"),
    ]);
    return reportError(reason, processTerminal());
  }
}
