import { createHash, randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { exportPKCS8, exportSPKI, generateKeyPair, importPKCS8, importSPKI, jwtVerify, SignJWT } from "jose";
import { OpenShellError } from "../../../error.ts";
import { writeFileAtomically } from "../files.ts";

/** A supervisor acts for its sandbox; an agent token is what the control plane seen from inside a sandbox carries. */
export type TokenKind = "supervisor" | "agent";

export interface SandboxClaims {
  readonly sandboxId: string;
  readonly kind: TokenKind;
  /** Milliseconds since the epoch. */
  readonly expires: number;
}

export interface TokenIssuer {
  /** A token for exactly one sandbox, valid for an hour. */
  issue(sandboxId: string, kind: TokenKind): Promise<{ token: string; expires: number }>;
  /** Throws `unauthenticated` for anything but a valid token of this gateway. */
  verify(token: string): Promise<SandboxClaims>;
}

/** One hour; the supervisor renews at half. */
export const TOKEN_LIFETIME_MS = 3_600_000;
/** Clocks of one machine agree; a container's may lag a little. */
const LEEWAY_SECONDS = 60;
const ALGORITHM = "EdDSA";
/** Tokens whose signature is known to be good: those of some thousand sandboxes, of both kinds, and the ones before the last renewal. */
const KNOWN_TOKENS = 8192;

/** Opens, or makes on first start, the Ed25519 key pair that signs sandbox tokens. */
export async function openTokenIssuer(directory: string, gatewayId: string, clock: () => number): Promise<TokenIssuer> {
  const privateFile = join(directory, "token-signing.pem");
  const publicFile = join(directory, "token-public.pem");
  if (!existsSync(privateFile) || !existsSync(publicFile)) {
    const pair = await generateKeyPair(ALGORITHM, { crv: "Ed25519", extractable: true });
    writeFileAtomically(publicFile, await exportSPKI(pair.publicKey), 0o644);
    writeFileAtomically(privateFile, await exportPKCS8(pair.privateKey), 0o600);
  }
  const privateKey = await importPKCS8(readFileSync(privateFile, "utf8"), ALGORITHM);
  const publicKey = await importSPKI(readFileSync(publicFile, "utf8"), ALGORITHM);
  const issuer = `openshell-gateway:${gatewayId}`;
  const known = new KnownTokens(clock);
  return {
    async issue(sandboxId, kind) {
      const issued = Math.floor(clock() / 1000);
      const expires = issued + TOKEN_LIFETIME_MS / 1000;
      const token = await new SignJWT({ sandbox_id: sandboxId, kind })
        .setProtectedHeader({ alg: ALGORITHM })
        .setSubject(subject(sandboxId))
        .setIssuer(issuer)
        .setAudience(issuer)
        .setIssuedAt(issued)
        .setExpirationTime(expires)
        .setJti(randomUUID())
        .sign(privateKey);
      return { token, expires: expires * 1000 };
    },
    async verify(token) {
      const before = known.find(token);
      if (before !== undefined) return before;
      const refused = new OpenShellError("unauthenticated", "the bearer token is not valid for this gateway");
      const { payload } = await jwtVerify(token, publicKey, {
        algorithms: [ALGORITHM],
        issuer,
        audience: issuer,
        clockTolerance: LEEWAY_SECONDS,
        currentDate: new Date(clock()),
        requiredClaims: ["exp", "sub", "sandbox_id", "kind"],
      }).catch(() => {
        throw refused;
      });
      const { sandbox_id: sandboxId, kind, exp, sub } = payload;
      if (typeof sandboxId !== "string" || sub !== subject(sandboxId) || exp === undefined) throw refused;
      if (kind !== "supervisor" && kind !== "agent") throw refused;
      const claims: SandboxClaims = { sandboxId, kind, expires: exp * 1000 };
      known.add(token, claims);
      return claims;
    },
  };
}

/**
 * What tokens say whose signature was checked: an idle sandbox asks every few seconds, with the same token for half an hour. Whether they are
 * over is asked each time, and whether their sandbox is still there is asked by whoever verifies. Bounded; kept by digest.
 */
class KnownTokens {
  readonly #clock: () => number;
  readonly #claims = new Map<string, SandboxClaims>();

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  find(token: string): SandboxClaims | undefined {
    const key = digest(token);
    const claims = this.#claims.get(key);
    if (claims === undefined || Math.floor(this.#clock() / 1000) < claims.expires / 1000 + LEEWAY_SECONDS) return claims;
    this.#claims.delete(key);
    return undefined;
  }

  add(token: string, claims: SandboxClaims): void {
    const [oldest] = this.#claims.keys();
    if (this.#claims.size >= KNOWN_TOKENS && oldest !== undefined) this.#claims.delete(oldest);
    this.#claims.set(digest(token), claims);
  }
}

function digest(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}

function subject(sandboxId: string): string {
  return `spiffe://openshell/sandbox/${sandboxId}`;
}
