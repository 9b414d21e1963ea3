import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { OpenShellError } from "../../../error.ts";
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

/** The sandbox that calls a method which only sandboxes may call; the gate has let nobody else through. */
export function sandboxPrincipal(context: HandlerContext): SandboxPrincipal {
  const principal = context.values.get(principalKey);
  if (principal.kind === "sandbox") return principal;
  throw new OpenShellError("permission_denied", "this method requires a sandbox principal");
}
