import type { FileIdentity, ProgramIdentity } from "../box/contract.ts";
import type { HashAnswer, HashRequest } from "./binary-hash.worker.ts";
import { sameFile } from "./file-identity.ts";
import { BINARY_HASH_WORKER } from "./worker-location.ts";

/** Executables remembered. An agent that makes new ones under an allowed glob for ever is refused, not forgotten. */
export const MAX_KNOWN_BINARIES = 4096;

export type BinaryVerdict = { readonly trusted: true; readonly sha256: string } | { readonly trusted: false; readonly reason: string };

/** Answers with the SHA-256 of a program's image; injectable for tests. */
export type HashProgram = (program: ProgramIdentity) => Promise<{ sha256: string } | { problem: string }>;

interface Known {
  readonly file: FileIdentity;
  readonly verdict: BinaryVerdict & { trusted: true };
}

/**
 * Trust on first use: the first content seen under a path is the content of that path until the supervisor ends. Asked only for programs
 * that policy allows; a path and file seen before cost one look-up, everything else one hash in a worker.
 */
export class BinaryTrust implements Disposable {
  readonly #hash: HashProgram;
  readonly #worker: HashWorker | undefined;
  readonly #known = new Map<string, Known>();
  readonly #running = new Map<string, Promise<BinaryVerdict>>();

  constructor(hash?: HashProgram) {
    this.#worker = hash === undefined ? new HashWorker() : undefined;
    this.#hash = hash ?? ((program) => (this.#worker as HashWorker).hash(program));
  }

  /** The verdict at once for a known file, else a promise of it. */
  check(program: ProgramIdentity): BinaryVerdict | Promise<BinaryVerdict> {
    const known = this.#known.get(program.exe);
    if (known !== undefined && sameFile(known.file, program.file)) return known.verdict;
    const { device, inode, mtimeNs, ctimeNs, size } = program.file;
    const key = `${device}:${inode}:${size}:${mtimeNs}:${ctimeNs}:${program.exe}`;
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const asked = this.#first(program).finally(() => this.#running.delete(key));
    this.#running.set(key, asked);
    return asked;
  }

  async #first(program: ProgramIdentity): Promise<BinaryVerdict> {
    const answer = await this.#hash(program);
    if ("problem" in answer) return { trusted: false, reason: `Binary integrity unknown: ${program.exe}: ${answer.problem}` };
    const known = this.#known.get(program.exe);
    if (known !== undefined && known.verdict.sha256 !== answer.sha256)
      return {
        trusted: false,
        reason: `Binary integrity violation: ${program.exe} hash changed (cached: ${known.verdict.sha256}, current: ${answer.sha256})`,
      };
    if (known === undefined && this.#known.size >= MAX_KNOWN_BINARIES)
      return { trusted: false, reason: `Binary integrity unknown: more than ${MAX_KNOWN_BINARIES} different executables` };
    const verdict = { trusted: true, sha256: answer.sha256 } as const;
    this.#known.set(program.exe, { file: program.file, verdict });
    return verdict;
  }

  [Symbol.dispose](): void {
    this.#worker?.[Symbol.dispose]();
  }
}

/** The worker thread, started with the first question. A thread that fails leaves every open question without a hash. */
class HashWorker implements Disposable {
  #worker: Worker | undefined;
  #next = 0;
  readonly #open = new Map<number, (answer: { sha256: string } | { problem: string }) => void>();

  hash(program: ProgramIdentity): Promise<{ sha256: string } | { problem: string }> {
    const id = this.#next++;
    return new Promise((resolve) => {
      this.#open.set(id, resolve);
      this.#start().postMessage({ id, pid: program.pid, file: program.file } satisfies HashRequest);
    });
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const worker = new Worker(BINARY_HASH_WORKER, { ref: false });
    worker.onmessage = (event: MessageEvent<HashAnswer>) => {
      this.#open.get(event.data.id)?.(event.data);
      this.#open.delete(event.data.id);
    };
    worker.onerror = (event) => this.#fail(event.message);
    worker.addEventListener("close", () => this.#fail("the hashing thread ended"));
    this.#worker = worker;
    return worker;
  }

  #fail(problem: string): void {
    this.#worker = undefined;
    for (const resolve of this.#open.values()) resolve({ problem });
    this.#open.clear();
  }

  [Symbol.dispose](): void {
    this.#worker?.terminate();
    this.#fail("the proxy has ended");
  }
}
