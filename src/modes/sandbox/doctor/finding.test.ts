import { expect, test } from "bun:test";
import { OpenShellError } from "../../../error.ts";
import { type Finding, probe, type State, verdict } from "./finding.ts";

const base = { feature: "landlock", meaning: "paths", otherwise: "missing" } as const;
const finding = (feature: string, state: State): Finding => ({ feature, state, found: "", meaning: "" });

test("what a probe throws is what was found, with its remedy", async () => {
  const run = () => {
    throw new OpenShellError("failed_precondition", "no such call", { next: "use another kernel" });
  };
  expect(await probe({ ...base, run })).toEqual({
    feature: "landlock",
    meaning: "paths",
    state: "missing",
    found: "no such call",
    remedy: "use another kernel",
  });
});

test("a sentence means that all is well", async () => {
  expect(await probe({ ...base, run: () => "ABI 7" })).toMatchObject({ state: "ok", found: "ABI 7" });
});

test("one missing feature is enough to say no, and what is weaker is named", () => {
  expect(verdict([finding("a", "ok")])).toEqual({ ok: true, sentence: "A sandbox can start here with full protection." });
  expect(verdict([finding("a", "ok"), finding("b", "degraded")])).toMatchObject({ ok: true, sentence: expect.stringContaining("b") });
  const no = verdict([finding("a", "missing"), finding("b", "degraded"), finding("c", "missing")]);
  expect(no).toEqual({ ok: false, sentence: "A sandbox cannot start here with full protection: a, c." });
});
