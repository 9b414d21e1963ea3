/** The loop's two delays: from a denial to a proposal that a person can see, and from the approval to the first allowed request. */
import type { Installation } from "../test/e2e/installation.ts";
import type { Program } from "../test/e2e/programs.ts";
import { milliseconds, report, summarise } from "./statistics.ts";

/** Each round has a sandbox of its own, because the first denial after quiet is reported at once and later ones are gathered for 10 s. */
const ROUNDS = 20;

export async function benchLoop(shell: Installation, policy: string, program: Program): Promise<void> {
  const created: number[] = [];
  const visible: number[] = [];
  const enforced: number[] = [];
  const deleted: number[] = [];
  const timed = async (values: number[], work: () => Promise<unknown>) => {
    const started = performance.now();
    await work();
    values.push(performance.now() - started);
  };
  for (let round = 0; round < ROUNDS; round++) {
    const [sandbox, host] = [`loop-${round}`, `host-${round}.bench.example`];
    await shell.net.addZones({ [host]: ["93.184.216.40"] });
    await timed(created, () => shell.create(sandbox, policy));
    const denied = await shell.exec(sandbox, ...program.fetch(`http://${host}/`));
    if (denied.exitCode === 0) throw new Error(`${host} was not denied`);
    let id = "";
    await timed(visible, async () => {
      id = (await shell.waitForDraft(sandbox, host, 30_000)).id;
    });
    await timed(enforced, async () => {
      await shell.must("sandbox", "draft", "approve", sandbox, id, "--wait", "--yes");
      const allowed = await shell.exec(sandbox, ...program.fetch(`http://${host}/`));
      if (allowed.exitCode !== 0) throw new Error(`${host} is denied after its approval: ${allowed.stdout}${allowed.stderr}`);
    });
    await timed(deleted, () => shell.must("sandbox", "delete", sandbox));
  }
  report("sandbox create, until it is ready", milliseconds(summarise(created)));
  report("denial → visible proposal (looked at through the CLI)", milliseconds(summarise(visible)));
  report("approve typed → first allowed request done (two CLI starts)", milliseconds(summarise(enforced)));
  report("sandbox delete, until nothing is left", milliseconds(summarise(deleted)));
}
