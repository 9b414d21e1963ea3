import { createContextKey } from "@connectrpc/connect";
import type { TokenKind } from "./tokens.ts";

/** Who is calling: exactly one of these, decided once per call. */
export type Principal = UserPrincipal | SandboxPrincipal | NoPrincipal;

export interface UserPrincipal {
  readonly kind: "user";
  /** `<os user>@<host>` of the client certificate; the actor in histories. */
  readonly subject: string;
  readonly provider: "mtls" | "local";
  /** May call `operator` methods. */
  readonly operator: boolean;
}

export interface SandboxPrincipal {
  readonly kind: "sandbox";
  readonly token: TokenKind;
  readonly sandboxId: string;
  /** Name and workspace under which the sandbox may speak of itself. */
  readonly name: string;
  readonly workspace: string;
}

export interface NoPrincipal {
  readonly kind: "none";
}

export const nobody: NoPrincipal = { kind: "none" };

export const principalKey = createContextKey<Principal>(nobody, { description: "caller" });
