import { restrictiveDefault } from "../../../../policy/defaults.ts";
import { leaseAgentIdentity } from "../../agent-identity.ts";
import { openBox } from "../../box/open.ts";
import { boxSpec } from "../../box-spec.ts";
import { openScratch } from "../../scratch.ts";
import { type Finding, probe } from "../finding.ts";

/** A real box with a program in it: everything together, as `sandbox run` does it. */
export function boxFinding(): Promise<Finding> {
  return probe({
    feature: "box",
    meaning: "own processes, files, users and network under our init; the program runs confined",
    otherwise: "missing",
    async run() {
      const start = performance.now();
      using identity = leaseAgentIdentity(undefined);
      await using scratch = openScratch(identity);
      const policy = { ...restrictiveDefault(), landlock: { compatibility: "best_effort" as const } };
      const place = {
        sandboxName: "doctor",
        mounts: [],
        uid: identity.uid,
        gid: identity.gid,
        workspace: scratch.workspace,
        runDirectory: scratch.run,
      };
      await using box = await openBox(boxSpec(policy, place));
      // It may read nothing of pid 1 (our init), and write nothing but its own directory.
      const script = "test ! -r /proc/1/status && touch /sandbox/x && ! touch /usr/x 2>/dev/null";
      const child = await box.launch({ argv: ["/bin/sh", "-c", script], environment: {}, workdir: "/sandbox", stdio: "inherit" });
      const code = await child.exited;
      const took = Math.round(performance.now() - start);
      if (code === 0) return `a confined program ran and could not leave, in ${took} ms`;
      return {
        state: "missing",
        found: `a confined program answered ${code}, 0 expected`,
        remedy: "run `openshell sandbox run -- true` and see its messages",
      };
    },
  });
}
