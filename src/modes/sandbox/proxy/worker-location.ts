import { isCompiled } from "../../../reexec.ts";

/** Where the hashing thread's code is: beside this file, or among the embedded entry points of the compiled binary. */
export const BINARY_HASH_WORKER: string = isCompiled
  ? "/$bunfs/root/modes/sandbox/proxy/binary-hash.worker.js"
  : new URL("./binary-hash.worker.ts", import.meta.url).href;
