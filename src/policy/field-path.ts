/** A place in a policy: keys and positions from the root. */
export type Path = readonly (string | number)[];

/** Keys that need no quotes in a path. */
const PLAIN = /^[A-Za-z_][A-Za-z0-9_-]*$/;

/** Writes a place as a person would: `network_policies.github.endpoints[0].port`, `network_policies["my rule"]`. */
export function fieldPath(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (PLAIN.test(part)) text += text === "" ? part : `.${part}`;
    else text += `[${JSON.stringify(part)}]`;
  }
  return text;
}
