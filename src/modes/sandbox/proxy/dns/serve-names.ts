import type { EventSink } from "../../../../events/event.ts";
import type { BoxResolver } from "../../box/contract.ts";
import { boxAddresses } from "../../box/net-addresses.ts";
import { RESERVED_NAMES } from "../reserved-names.ts";
import { DatagramResponder } from "./datagrams.ts";
import { Responder } from "./responder.ts";
import { StreamResponder } from "./stream.ts";
import { SyntheticNames } from "./synthetic-names.ts";

/** The resolver of one sandbox. */
export interface NameService extends Disposable {
  readonly synthetic: SyntheticNames;
  /** Takes connections to the resolver, which are accepted elsewhere. */
  readonly streams: StreamResponder;
}

/** Answers every name inside with an address that stands for it (decision 13); asks nobody. */
export function serveNames(sockets: BoxResolver, sandboxName: string, emit: EventSink): NameService {
  const synthetic = new SyntheticNames(RESERVED_NAMES);
  const host = { name: sandboxName, ...boxAddresses };
  const responder = new Responder({ names: synthetic, host, ipv6: sockets.ipv6 !== undefined, emit });
  const stack = new DisposableStack();
  stack.use(new DatagramResponder(sockets, responder, emit));
  const streams = stack.use(new StreamResponder(responder));
  return { synthetic, streams, [Symbol.dispose]: () => stack.dispose() };
}
