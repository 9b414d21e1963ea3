import { createHash, randomBytes } from "node:crypto";
import { OpenShellError } from "../../../error.ts";

/** A token works for a working day and is revoked when its session ends; a lost one does not last. Milliseconds. */
export const SSH_SESSION_LIFETIME_MS = 24 * 3_600_000;

/** SSH connections per token and per sandbox, as published gateways allow. */
const MAX_SSH = { token: 3, sandbox: 20 } as const;

/** Forwarded connections per token and per sandbox: a browser opens six to a host, and a page of it some dozens. */
const MAX_TCP = { token: 64, sandbox: 128 } as const;

/** Tokens of one sandbox that are valid at a time; above, the oldest unused one goes. */
const MAX_TOKENS_PER_SANDBOX = 256;

export type TunnelKind = "ssh" | "tcp";

interface Session {
  readonly sandboxId: string;
  /** The user who asked; nobody else can use the token. */
  readonly subject: string;
  /** As `elapsed` counts. */
  readonly endsAt: number;
  readonly tunnels: Set<Tunnel>;
}

/** One connection that uses a token. */
export interface Tunnel extends Disposable {
  readonly kind: TunnelKind;
  /** Aborts when the token is revoked or expires, or the sandbox goes. */
  readonly signal: AbortSignal;
}

/** Who asks for what. */
export interface TunnelRequest {
  readonly sandboxId: string;
  readonly subject: string;
  readonly kind: TunnelKind;
}

/**
 * The right to enter a sandbox: a token for one user and one sandbox. Kept in memory, by digest: a gateway that starts again has ended every
 * connection, and clients ask anew.
 */
export class SshSessions {
  readonly #clock: { now(): number };
  readonly #elapsed: () => number;
  readonly #sessions = new Map<string, Session>();

  /** `elapsed`: milliseconds that only go forward, by which tokens end; the clock is for what people are told. */
  constructor(clock: { now(): number }, elapsed: () => number = () => performance.now()) {
    this.#clock = clock;
    this.#elapsed = elapsed;
  }

  /** A new token. */
  create(sandboxId: string, subject: string): { readonly token: string; readonly expires: number } {
    this.#expire();
    this.#makeRoom(sandboxId);
    const token = randomBytes(32).toString("base64url");
    const endsAt = this.#elapsed() + SSH_SESSION_LIFETIME_MS;
    this.#sessions.set(digest(token), { sandboxId, subject, endsAt, tunnels: new Set() });
    return { token, expires: this.#clock.now() + SSH_SESSION_LIFETIME_MS };
  }

  /**
   * Begins a connection. `unauthenticated` for a token that is missing, unknown, expired, revoked, or of another user or sandbox (one answer
   * for all of them); `resource_exhausted` above the limits.
   */
  claim(token: string, { sandboxId, subject, kind }: TunnelRequest): Tunnel {
    this.#expire();
    const session = this.#sessions.get(digest(token));
    if (session === undefined || session.sandboxId !== sandboxId || session.subject !== subject) {
      throw new OpenShellError("unauthenticated", "the session token is not valid for this sandbox", {
        next: "ask for one: CreateSshSession",
      });
    }
    const limits = kind === "ssh" ? MAX_SSH : MAX_TCP;
    const ofToken = count(session.tunnels, kind);
    if (ofToken >= limits.token) {
      throw new OpenShellError("resource_exhausted", `${ofToken} ${kind} connections use this token, at most ${limits.token} may`);
    }
    const ofSandbox = [...this.#sessions.values()].reduce(
      (sum, other) => sum + (other.sandboxId === sandboxId ? count(other.tunnels, kind) : 0),
      0,
    );
    if (ofSandbox >= limits.sandbox) {
      throw new OpenShellError(
        "resource_exhausted",
        `${ofSandbox} ${kind} connections into this sandbox are open, at most ${limits.sandbox} may`,
        {
          next: "close some",
        },
      );
    }
    return openTunnel(session, kind, session.endsAt - this.#elapsed());
  }

  /** Ends a token and its connections. False when there is no such token of this user. */
  revoke(token: string, subject: string): boolean {
    const key = digest(token);
    const session = this.#sessions.get(key);
    if (session === undefined || session.subject !== subject) return false;
    this.#end(key, session);
    return true;
  }

  /** Ends every token of a sandbox that is stopped or deleted. */
  revokeSandbox(sandboxId: string): void {
    for (const [key, session] of [...this.#sessions]) if (session.sandboxId === sandboxId) this.#end(key, session);
  }

  #expire(): void {
    const now = this.#elapsed();
    for (const [key, session] of [...this.#sessions]) if (session.endsAt <= now) this.#end(key, session);
  }

  #makeRoom(sandboxId: string): void {
    const own = [...this.#sessions].filter(([, session]) => session.sandboxId === sandboxId);
    if (own.length < MAX_TOKENS_PER_SANDBOX) return;
    const [key, session] = own.find(([, { tunnels }]) => tunnels.size === 0) ?? own[0] ?? [];
    if (key !== undefined && session !== undefined) this.#end(key, session);
  }

  #end(key: string, session: Session): void {
    this.#sessions.delete(key);
    for (const tunnel of [...session.tunnels]) tunnel[Symbol.dispose]();
  }
}

/** `lifetime`: milliseconds until the token expires, and the connection with it. */
function openTunnel(session: Session, kind: TunnelKind, lifetime: number): Tunnel {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), lifetime);
  timer.unref();
  const tunnel: Tunnel = {
    kind,
    signal: abort.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      session.tunnels.delete(tunnel);
      abort.abort();
    },
  };
  session.tunnels.add(tunnel);
  return tunnel;
}

function count(tunnels: ReadonlySet<Tunnel>, kind: TunnelKind): number {
  let found = 0;
  for (const tunnel of tunnels) if (tunnel.kind === kind) found += 1;
  return found;
}

/** Tokens are looked up by digest: what is compared tells nothing about a token that nearly matches, and no token lies in memory. */
function digest(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
