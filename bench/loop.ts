/** The loop's two delays: from a denial to a proposal that a person can see, and from the approval to the first allowed request. */
import type { Installation } from "../test/e2e/installation.ts";
import type { Program } from "../test/e2e/programs.ts";
import { milliseconds, report, summarise } from "./statistics.ts";

/** The gateway takes a submission per sandbox every 5 s after a burst of 3, so more samples would measure that. */
const ROUNDS = 8;

export async function benchLoop(shell: Installation, sandbox: string, program: Program): Promise<void> {
  const visible: number[] = [];
  const enforced: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const host = `host-${round}.bench.example`;
    await shell.net.addZones({ [host]: ["93.184.216.40"] });
    const denied = await shell.exec(sandbox, ...program.fetch(`http://${host}/`));
    const deniedAt = performance.now();
    if (denied.exitCode === 0) throw new Error(`${host} was not denied`);
    const chunk = await shell.waitForDraft(sandbox, host, 30_000);
    visible.push(performance.now() - deniedAt);

    const approvedAt = performance.now();
    await shell.must("sandbox", "draft", "approve", sandbox, chunk.id, "--wait", "--yes");
    const allowed = await shell.exec(sandbox, ...program.fetch(`http://${host}/`));
    if (allowed.exitCode !== 0) throw new Error(`${host} is denied after its approval: ${allowed.stdout}${allowed.stderr}`);
    enforced.push(performance.now() - approvedAt);
  }
  report("denial → visible proposal (looked at through the CLI)", milliseconds(summarise(visible)));
  report("approve typed → first allowed request done (two CLI starts)", milliseconds(summarise(enforced)));
}
