import * as v from "valibot";

/** valibot takes a list for an object without keys. */
const mapping = v.custom<object>((value) => typeof value === "object" && value !== null && !Array.isArray(value), "expected a mapping");
const object = <T extends v.ObjectEntries>(entries: T) => v.pipe(mapping, v.strictObject(entries));
/** No message shows a value: it could be the secret. */
const text = v.pipe(v.string("expected text"), v.minLength(1, "must not be empty"));
const port = v.pipe(v.number("expected a port, 1 to 65535"), v.integer("expected a port, 1 to 65535"), v.minValue(1), v.maxValue(65_535));
const list = <T extends v.GenericSchema>(item: T) =>
  v.pipe(v.array(item, "expected a list"), v.minLength(1, "must not be empty: leave it out instead"));

const slot = v.union(
  [object({ header: text, schemes: v.optional(list(v.string())) }), object({ query: text }), object({ path: text })],
  "expected {header: NAME}, {header: NAME, schemes: […]}, {query: NAME} or {path: TEMPLATE}",
);

const endpoint = object({ host: text, port: v.optional(port), ports: v.optional(list(port)), path: v.optional(text) });

const credential = object({
  provider: v.optional(text),
  env: v.optional(text),
  file: v.optional(text),
  value: v.optional(text),
  alias: v.optional(text),
  slots: v.optional(list(slot)),
  endpoints: v.optional(list(endpoint)),
});

/** The file of `--credentials` as people write it. */
export const authoredCredentials = object({
  version: v.literal(1, "must be 1"),
  credentials: v.pipe(mapping, v.record(v.string(), credential)),
});

export type AuthoredCredential = v.InferOutput<typeof credential>;
export type AuthoredSlot = v.InferOutput<typeof slot>;
