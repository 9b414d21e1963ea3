import { Mask } from "./mask.ts";
import type { Slot } from "./slot.ts";

/** A secret that exists in the supervisor alone, and the text that stands for it inside the sandbox. */
export interface Credential {
  /** Name of the environment variable: letters, digits and `_`, at most 256. */
  readonly key: string;
  /** Never in a log, an event, an error, the input of a policy, or the sandbox. */
  readonly secret: string;
  /** Name of the provider that it belongs to; `credential_binding` of an endpoint names it too. */
  readonly provider: string;
  /** Where it may stand in a request (`slotsOf`). */
  readonly slots: readonly Slot[];
  /** Where it may be sent to; an endpoint of the policy with `credential_binding: {provider}` is one more. */
  readonly endpoints: readonly CredentialEndpoint[];
  /** Prefix of the provider-shaped placeholder for programs that check the form of a key, like `sk-ant-api03`. */
  readonly alias?: string;
  /** Opaque name of a credential that is renewed, 64 hex digits. */
  readonly handle?: string;
  /** Milliseconds since the epoch; refused from then on. */
  readonly expiresAt?: number;
}

/** Servers and paths of a provider. */
export interface CredentialEndpoint {
  /** Lower-case name, or a pattern: `*` within one label, `**` as the first label for one or more. */
  readonly host: string;
  /** Empty: every port. */
  readonly ports: readonly number[];
  /** Pattern over the canonical path, `*` within one segment, `**` for any number of them. Empty: every path. */
  readonly path: string;
}

/** `openshell:resolve:env:KEY`, what a program finds in its environment. */
export const PLACEHOLDER_PREFIX = "openshell:resolve:env:";
/** `<prefix>-OPENSHELL-RESOLVE-ENV-KEY`, the same in the shape of a provider's keys. */
export const ALIAS_MARK = "-OPENSHELL-RESOLVE-ENV-";

/** Programs cut `key id:secret` at the first colon, and the plain form has three. */
const ACCESS_KEY_ALIAS = "AKIA";

/** The text that stands for a credential in the environment of programs. */
export function placeholderOf({ key, slots, alias = defaultAlias(slots) }: Pick<Credential, "key" | "slots" | "alias">): string {
  return alias === undefined ? `${PLACEHOLDER_PREFIX}${key}` : `${alias}${ALIAS_MARK}${key}`;
}

function defaultAlias(slots: readonly Slot[]): string | undefined {
  return slots.some((slot) => slot.kind === "sigv4" && slot.part === "access_key_id") ? ACCESS_KEY_ALIAS : undefined;
}

/** The credentials of one sandbox at one moment; immutable. */
export class CredentialSet {
  static readonly EMPTY = new CredentialSet([]);
  readonly #byKey: ReadonlyMap<string, Credential>;

  /** The first credential of a name counts, as the first attached provider does. */
  constructor(credentials: readonly Credential[]) {
    const byKey = new Map<string, Credential>();
    for (const credential of credentials) if (!byKey.has(credential.key)) byKey.set(credential.key, credential);
    this.#byKey = byKey;
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(key: string): Credential | undefined {
    return this.#byKey.get(key);
  }

  values(): Iterable<Credential> {
    return this.#byKey.values();
  }

  /** Variables for every program inside: placeholders, never secrets. */
  environment(): Record<string, string> {
    return Object.fromEntries([...this.#byKey.values()].map((credential) => [credential.key, placeholderOf(credential)]));
  }
}

/** Secrets that are no longer used are masked in answers for as long as this many newer ones have not replaced them. */
const RETIRED = 64;

/** What a sandbox's credentials are now; a push replaces them all at once, for the next request of every connection. */
export class Credentials {
  #current: CredentialSet;
  readonly #retired = new Set<string>();
  #mask: Mask | undefined;

  constructor(current: CredentialSet = CredentialSet.EMPTY) {
    this.#current = current;
  }

  get current(): CredentialSet {
    return this.#current;
  }

  /** Secrets of earlier sets: a server may still echo them. */
  get retired(): Iterable<string> {
    return this.#retired;
  }

  replace(next: CredentialSet): void {
    for (const { secret } of this.#current.values()) {
      this.#retired.delete(secret);
      this.#retired.add(secret);
    }
    for (const { secret } of next.values()) this.#retired.delete(secret);
    for (const oldest of this.#retired) {
      if (this.#retired.size <= RETIRED) break;
      this.#retired.delete(oldest);
    }
    this.#current = next;
    this.#mask = undefined;
  }

  /** Hides these secrets and earlier ones in answers; undefined: there are none. */
  get mask(): Mask | undefined {
    if (this.#current.size === 0 && this.#retired.size === 0) return undefined;
    this.#mask ??= new Mask([...Array.from(this.#current.values(), ({ secret }) => secret), ...this.#retired]);
    return this.#mask;
  }

  environment(): Record<string, string> {
    return this.#current.environment();
  }
}
