import { OpenShellError } from "../../../error.ts";

/** `degraded`: a sandbox starts and something is weaker; `missing`: a sandbox with a strict policy does not start. */
export type State = "ok" | "degraded" | "missing";

/** One thing a sandbox takes from this machine. */
export interface Finding {
  readonly feature: string;
  readonly state: State;
  /** What was tried or read, and what came out. */
  readonly found: string;
  /** What it is for, or what is not enforced without it. */
  readonly meaning: string;
  /** What to change; absent when nothing needs to be. */
  readonly remedy?: string;
}

/** How a probe speaks about its feature. */
export interface Probe {
  readonly feature: string;
  readonly meaning: string;
  /** When it fails: is it an obstacle, or something weaker? */
  readonly otherwise: Exclude<State, "ok">;
  /** Throws when the feature is not there; answers what was found. */
  run(): Outcome | Promise<Outcome>;
}

/** A sentence for what is fine, or the state and the remedy as well. */
export type Outcome = string | Pick<Finding, "state" | "found" | "remedy">;

/** Runs a probe; whatever it throws becomes the finding. */
export async function probe({ feature, meaning, otherwise, run }: Probe): Promise<Finding> {
  try {
    const outcome = await run();
    return typeof outcome === "string" ? { feature, state: "ok", found: outcome, meaning } : { feature, meaning, ...outcome };
  } catch (reason) {
    const { message, next } = OpenShellError.from(reason);
    return { feature, state: otherwise, found: message, meaning, ...(next === undefined ? {} : { remedy: next }) };
  }
}

/** The sentence below the table. */
export function verdict(findings: readonly Finding[]): { readonly ok: boolean; readonly sentence: string } {
  const names = (state: State) => findings.filter((finding) => finding.state === state).map(({ feature }) => feature);
  const [missing, degraded] = [names("missing"), names("degraded")];
  if (missing.length > 0) return { ok: false, sentence: `A sandbox cannot start here with full protection: ${missing.join(", ")}.` };
  if (degraded.length > 0) return { ok: true, sentence: `A sandbox can start here; weaker than it could be: ${degraded.join(", ")}.` };
  return { ok: true, sentence: "A sandbox can start here with full protection." };
}
