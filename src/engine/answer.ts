import * as v from "valibot";

const ref = v.strictTuple([v.string(), v.pipe(v.number(), v.integer(), v.minValue(0))]);
const refused = { allow: v.literal(false) };

/** What the decision entry point may answer; anything else is an engine failure. */
const answerSchema = v.union([
  v.strictObject({ allow: v.literal(true), policy: v.string(), endpoints: v.pipe(v.array(ref), v.minLength(1)) }),
  v.strictObject({ ...refused, code: v.picklist(["malformed", "engine_failure", "no_policies", "host_not_allowed"]) }),
  v.strictObject({ ...refused, code: v.literal("port_not_allowed"), ports: v.array(v.number()) }),
  v.strictObject({ ...refused, code: v.literal("binary_not_allowed"), rules: v.array(v.string()) }),
  v.strictObject({ ...refused, code: v.literal("binary_not_allowed"), own: v.literal(true) }),
]);

export type Answer = v.InferOutput<typeof answerSchema>;

/** The answer of the rules, or undefined when it has no known shape. */
export function readAnswer(value: unknown): Answer | undefined {
  const read = v.safeParse(answerSchema, value);
  return read.success ? read.output : undefined;
}
