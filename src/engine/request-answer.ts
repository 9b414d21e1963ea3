import * as v from "valibot";

const ref = v.strictTuple([v.string(), v.pipe(v.number(), v.integer(), v.minValue(0))]);

/** What the request entry point may answer; anything else is an engine failure. */
const answerSchema = v.union([
  v.strictObject({ action: v.literal("allow"), endpoint: ref }),
  v.strictObject({ action: v.literal("deny"), code: v.picklist(["malformed", "engine_failure"]) }),
  v.strictObject({ action: v.literal("deny"), code: v.literal("body_needed"), endpoint: ref }),
  v.strictObject({
    action: v.picklist(["deny", "audit"]),
    code: v.picklist(["path_not_covered", "protocol_ambiguous", "request_denied", "encoded_slash", "request_not_allowed"]),
    endpoint: ref,
  }),
]);

export type RequestAnswer = v.InferOutput<typeof answerSchema>;

/** The answer of the rules, or undefined when it has no known shape. */
export function readRequestAnswer(value: unknown): RequestAnswer | undefined {
  const read = v.safeParse(answerSchema, value);
  return read.success ? read.output : undefined;
}
