import type { Field } from "./fields.ts";
import { HeadError } from "./refused.ts";

/** Fields that `Connection` must not name: dropping them would change what the request means. */
const NEVER_NOMINATED: ReadonlySet<string> = new Set([
  ...["host", "content-length", "transfer-encoding", "authorization", "cookie", "via"],
  // Rules about bodies have read the body as these say.
  ...["content-type", "content-encoding"],
]);

const NONE: ReadonlySet<string> = new Set();

/** The fields that `Connection` declares to be for the next hop only (RFC 9110 section 7.6.1), in lower case. */
export function nominatedFields(fields: readonly Field[]): ReadonlySet<string> {
  let names: Set<string> | undefined;
  for (const field of fields) {
    if (field.lower !== "connection") continue;
    names ??= new Set();
    for (const option of field.value.split(",")) names.add(option.trim().toLowerCase());
  }
  return names ?? NONE;
}

/** Refuses a request that would lose its meaning at a proxy. */
export function checkNominated(fields: readonly Field[]): void {
  for (const name of nominatedFields(fields))
    if (NEVER_NOMINATED.has(name))
      throw new HeadError(400, "connection_options", `Connection names ${name}, which the request cannot lose`);
}
