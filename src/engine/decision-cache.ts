import type { ConnectionQuery, Decision } from "./decision.ts";

/** Decisions kept per generation. An agent uses tens of (program, destination) pairs; a flood of others only costs it its own cache. */
export const MAX_CACHED_DECISIONS = 4096;
/** UTF-16 units of one key. Longer chains of programs are decided each time, so that the cache stays below about 32 MiB. */
const MAX_KEY_LENGTH = 4096;

/** Decisions of one generation, oldest dropped first. Hash checks of executables never belong here: they are made on every connection. */
export class DecisionCache {
  private readonly entries = new Map<string, Decision>();

  get size(): number {
    return this.entries.size;
  }

  get(key: string): Decision | undefined {
    return this.entries.get(key);
  }

  set(key: string, decision: Decision): void {
    if (key.length > MAX_KEY_LENGTH) return;
    if (this.entries.size >= MAX_CACHED_DECISIONS) {
      const oldest = this.entries.keys().next();
      if (!oldest.done) this.entries.delete(oldest.value);
    }
    this.entries.set(key, decision);
  }
}

/** Lengths come first, so that no two queries share a key, whatever their strings hold. */
export function cacheKey(query: ConnectionQuery): string {
  let key = `${query.port}:${query.host.length}:${query.host}${query.exe.length}:${query.exe}`;
  for (const path of query.ancestors) key += `${path.length}:${path}`;
  return key;
}
