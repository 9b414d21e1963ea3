import type { ConnectionQuery, RequestQuery } from "./decision.ts";

/** Decisions kept per generation. An agent uses tens of (program, destination) pairs; a flood of others only costs it its own cache. */
export const MAX_CACHED_DECISIONS = 4096;
/** UTF-16 units of one key. Longer chains of programs are decided each time, so that the cache stays below about 32 MiB. */
const MAX_KEY_LENGTH = 4096;

/** Requests kept per generation: those that a program repeats. Paths differ more than destinations, and each costs 50 µs to decide again. */
export const MAX_CACHED_REQUESTS = 1024;
/** With the bound above, 4 MiB of keys at most. */
export const MAX_REQUEST_KEY_LENGTH = 2048;

/** Decisions of one generation, oldest dropped first. Hash checks of executables never belong here: they are made on every connection. */
export class DecisionCache<T> {
  private readonly entries = new Map<string, T>();
  private readonly maxEntries: number;
  private readonly maxKeyLength: number;

  constructor(maxEntries: number = MAX_CACHED_DECISIONS, maxKeyLength: number = MAX_KEY_LENGTH) {
    this.maxEntries = maxEntries;
    this.maxKeyLength = maxKeyLength;
  }

  get size(): number {
    return this.entries.size;
  }

  get(key: string): T | undefined {
    return this.entries.get(key);
  }

  set(key: string, decision: T): void {
    if (key.length > this.maxKeyLength) return;
    if (this.entries.size >= this.maxEntries) {
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

/** The same with a request, as the rules get it: JSON ends where it ends, so that nothing else has this key. */
export function requestCacheKey(query: RequestQuery): string {
  return JSON.stringify(query.request) + cacheKey(query);
}
