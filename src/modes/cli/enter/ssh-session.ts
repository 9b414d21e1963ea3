import { OpenShellError } from "../../../error.ts";
import type { CreateSshSessionResponse } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { CALL_TIMEOUT_MS, type Gateway } from "../connection/gateway.ts";

/** Longest values that a gateway may answer with, and their alphabets (the published client's). */
const SANDBOX_ID = /^[A-Za-z0-9._-]{1,128}$/;
const TOKEN = /^[A-Za-z0-9._~+/=-]{1,4096}$/;
const MAX_FINGERPRINT_LENGTH = 256;

/** Revoking is a courtesy at the end of a session; nobody waits long for it. Milliseconds. */
const REVOKE_TIMEOUT_MS = 3000;

/** The right to enter one sandbox, for as long as it is used. */
export interface EntrySession extends AsyncDisposable {
  readonly token: string;
}

/** Asks the gateway for the right to enter; disposing gives it back. */
export async function openEntry(gateway: Gateway, sandbox: string): Promise<EntrySession> {
  const answer = await gateway.client.createSshSession({ workspaceScope: gateway.scope, sandbox }, { timeoutMs: CALL_TIMEOUT_MS });
  const { token } = checkedSession(answer);
  return {
    token,
    async [Symbol.asyncDispose]() {
      await gateway.client.revokeSshSession({ token, allowMissing: true }, { timeoutMs: REVOKE_TIMEOUT_MS }).catch(() => undefined);
    },
  };
}

/** A gateway is trusted with much, but what it answers becomes part of command lines: it has to look as it must. */
export function checkedSession(answer: CreateSshSessionResponse): CreateSshSessionResponse {
  const bad =
    (!SANDBOX_ID.test(answer.sandboxId) && "sandbox id") ||
    (!TOKEN.test(answer.token) && "token") ||
    (answer.hostKeyFingerprint.length > MAX_FINGERPRINT_LENGTH && "fingerprint");
  if (bad) throw new OpenShellError("internal", `the gateway answered with a malformed ${bad}`);
  return answer;
}
