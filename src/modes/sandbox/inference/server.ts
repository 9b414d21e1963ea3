import { chmodSync, closeSync, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import { refusalAnswer, tooLarge } from "./answers.ts";
import { MAX_BODY_BYTES } from "./limits.ts";
import type { Caller, InferenceService } from "./service.ts";

/** The header field by which the proxy says who asks; programs cannot send it. */
export const CALLER_FIELD = "openshell-caller";
/** Requests announced and not arrived; each needs a connection that is being made. */
const MAX_ANNOUNCED = 4096;

/** Where the proxy brings requests for `inference.local`. */
export interface InferenceServer extends Disposable {
  readonly socketPath: string;
  /** Says who is about to ask; the answer goes into `CALLER_FIELD` of the request. */
  announce(caller: Caller): string;
}

/** `sun_path` of struct sockaddr_un less its NUL (include/uapi/linux/un.h). */
const MAX_SOCKET_PATH = 107;

/** A path by which the socket can be bound and dialled however long its own is: by way of its open directory. */
function reachable(path: string): { readonly path: string } & Disposable {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return { path, [Symbol.dispose]() {} };
  const directory = openSync(dirname(path), "r");
  return { path: `/proc/self/fd/${directory}/${basename(path)}`, [Symbol.dispose]: () => closeSync(directory) };
}

/**
 * Serves HTTP/1.1 on a Unix socket that only the supervisor's own user can open and that does not exist inside the box.
 * @param socketPath in a directory that is private to the supervisor
 */
export function serveInference(service: InferenceService, socketPath: string): InferenceServer {
  const place = reachable(socketPath);
  const announced = new Map<string, Caller>();
  let count = 0;
  const server = Bun.serve({
    unix: place.path,
    // A body that is too large has an answer that explains it; this is for what even that does not want to read.
    maxRequestBodySize: 4 * MAX_BODY_BYTES,
    fetch(request, running) {
      // Models think for minutes; how long an answer may pause is decided where it is passed on.
      running.timeout(request, 0);
      const id = request.headers.get(CALLER_FIELD) ?? "";
      const caller = announced.get(id);
      announced.delete(id);
      if (caller === undefined) return new Response(null, { status: 403 });
      return service.answer(request, caller);
    },
    error: () => refusalAnswer({ ...tooLarge(MAX_BODY_BYTES), status: 500, error: "the request could not be answered", code: "internal" }),
  });
  chmodSync(place.path, 0o600);
  return {
    socketPath: place.path,
    announce(caller) {
      const id = String(++count);
      announced.set(id, caller);
      const [oldest] = announced.keys();
      if (announced.size > MAX_ANNOUNCED && oldest !== undefined) announced.delete(oldest);
      return id;
    },
    [Symbol.dispose]() {
      void server.stop(true);
      place[Symbol.dispose]();
    },
  };
}
