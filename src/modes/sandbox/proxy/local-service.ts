import type { DecisionEngineName } from "../../../events/event.ts";
import type { ProgramIdentity } from "../box/contract.ts";
import type { Authority } from "./http1/authority.ts";
import type { Gate, Secured } from "./inspect/gate.ts";

/** A name that this supervisor answers itself, whatever the policy says: requests are read like any others and go to a socket of its own. */
export interface LocalService {
  readonly engine: DecisionEngineName;
  /** Whether it is this that is offered there. */
  serves(authority: Authority): boolean;
  /** Unix socket that takes the requests, HTTP/1.1 in plain text. */
  readonly socketPath: string;
  /** Decides the requests of one connection. */
  gate(program: ProgramIdentity, authority: Authority, secured: Secured): Gate;
}
