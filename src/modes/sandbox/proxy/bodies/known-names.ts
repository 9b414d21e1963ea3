import type { JsonObject } from "./strict-json.ts";
import { BodyError } from "./unreadable.ts";

/** The names that mean something in an object, by how readers that ignore case see them. */
export type KnownNames = ReadonlyMap<string, string>;

export function knownNames(...names: readonly string[]): KnownNames {
  return new Map(names.map((name) => [folded(name), name]));
}

/**
 * Refuses names that a server might take for a known one although they are spelled otherwise: several readers compare without regard to case
 * (Go's does, with Unicode folding: `ſ` for s, the Kelvin sign for k).
 * @throws BodyError
 */
export function requireExactNames(object: JsonObject, known: KnownNames): void {
  for (const name of object.keys()) {
    const meant = known.get(folded(name));
    if (meant !== undefined && meant !== name)
      throw new BodyError(400, "json_name", `some servers read a name as '${meant}' although it is spelled otherwise`);
  }
}

function folded(name: string): string {
  return name.normalize("NFKC").toUpperCase().toLowerCase();
}
