import { defineCommand } from "../../../command/define.ts";
import { outputArg, print } from "../../../command/output.ts";
import { EXIT_ERROR, EXIT_OK } from "../../../command/report.ts";
import { renderTable } from "../../../command/table.ts";
import type { Style } from "../../../command/terminal.ts";
import { examine } from "./examine.ts";
import { type Finding, verdict } from "./finding.ts";

/** `openshell doctor`: what this machine lets a sandbox enforce. */
export const doctorCommand = defineCommand({
  meta: {
    name: "doctor",
    description: "Show what this machine lets a sandbox enforce, and what to change",
    examples: ["openshell doctor", "openshell doctor -o json", "sudo openshell doctor   # what sandboxes of root get"],
  },
  args: { output: outputArg },
  async run({ args, terminal }) {
    const findings = await examine();
    const { ok, sentence } = verdict(findings);
    const names = findings.filter(({ state }) => state !== "ok").map(({ feature }) => feature);
    const table = () => `${renderFindings(findings, terminal.style)}\n${sentence}\n`;
    await print(args.output, { data: { ok, summary: sentence, features: findings }, names, table }, terminal);
    return ok ? EXIT_OK : EXIT_ERROR;
  },
});

function renderFindings(findings: readonly Finding[], style: Style): string {
  const colors = { ok: style.green, degraded: style.yellow, missing: style.red };
  const rows = findings.map(({ feature, state, found }) => [feature, { text: state, color: colors[state] }, found]);
  const table = renderTable(["FEATURE", "STATE", "FOUND"], rows, style);
  const concerns = findings.filter(({ state }) => state !== "ok");
  const advice = concerns.map(({ feature, meaning, remedy }) => {
    const next = remedy === undefined ? "" : `  Change: ${remedy}\n`;
    return `\n${style.bold(feature)}\n  For: ${meaning}\n${next}`;
  });
  return `${table}${advice.join("")}`;
}
