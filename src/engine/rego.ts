import { readFileSync } from "node:fs";
import wasmPath from "../../policies/policy.wasm" with { type: "file" };
import { OpenShellError } from "../error.ts";

/** What the wasm of `opa build` exports (ABI 1.3) and we call. */
interface Exports {
  entrypoints(): number;
  builtins(): number;
  opa_malloc(bytes: number): number;
  opa_heap_ptr_get(): number;
  opa_heap_ptr_set(address: number): void;
  opa_json_parse(address: number, bytes: number): number;
  opa_json_dump(value: number): number;
  opa_eval(reserved: number, entrypoint: number, data: number, input: number, inputBytes: number, heap: number, format: number): number;
}

export type Entrypoint = "openshell/index" | "openshell/decision" | "openshell/request";

/** Pages of 64 KiB. A live generation of 1,000 rules needs about 600; 128 MiB keeps a faulty input from taking the host's memory. */
export const DECISION_PAGES = 2048;
/** Building the tables of 1,000 rules takes about 1,350 pages, in an instance that is thrown away. */
export const INDEX_PAGES = 8192;
/** What `opa build` asks for at least. */
const INITIAL_PAGES = 5;
const PAGE = 65536;

let compiled: WebAssembly.Module | undefined;

/** Compiled once per process (about 4 ms), at the first use. */
export function policyModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(readFileSync(wasmPath));
  return compiled;
}

/** The heap of an evaluation starts at a multiple of 16, as the allocator of the wasm expects. */
const align = (address: number) => (address + 15) & ~15;

/**
 * One instance of the rules with its own memory and, once `setData` has succeeded, its own data. After any exception it must be thrown away:
 * every abort inside the wasm leaks stack, and a failed `setData` leaves half-overwritten data behind.
 */
export class RegoInstance {
  private readonly memory: WebAssembly.Memory;
  private readonly wasm: Exports;
  private readonly entrypoints: Readonly<Record<string, number>>;
  private readonly encoder = new TextEncoder();
  private readonly decoder = new TextDecoder("utf-8", { fatal: true });
  private data = 0;
  private heap: number;
  private bytes: Uint8Array;

  /** @param maximum pages of 64 KiB that the instance may grow to. */
  constructor(maximum: number) {
    this.memory = new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum });
    this.bytes = new Uint8Array(this.memory.buffer);
    const unexpected = () => {
      throw new OpenShellError("internal", "the policy rules called a function that this engine does not offer");
    };
    const env = {
      memory: this.memory,
      opa_abort: (address: number) => {
        throw new OpenShellError("internal", `policy rules aborted: ${this.text(address)}`);
      },
      opa_println: unexpected,
      opa_builtin0: unexpected,
      opa_builtin1: unexpected,
      opa_builtin2: unexpected,
      opa_builtin3: unexpected,
      opa_builtin4: unexpected,
    };
    this.wasm = new WebAssembly.Instance(policyModule(), { env }).exports as unknown as Exports;
    this.entrypoints = this.dump(this.wasm.entrypoints()) as Record<string, number>;
    if (JSON.stringify(this.dump(this.wasm.builtins())) !== "{}") {
      throw new OpenShellError("internal", "the policy rules need functions that this engine does not offer", {
        next: "rebuild with scripts/build-rego.ts",
      });
    }
    this.heap = this.wasm.opa_heap_ptr_get();
  }

  /** Linear memory in pages of 64 KiB; it never shrinks. */
  get pages(): number {
    return this.memory.buffer.byteLength / PAGE;
  }

  /** Gives the instance its data, once. */
  setData(json: string): void {
    if (this.data !== 0) throw new OpenShellError("internal", "an instance takes its data once");
    const text = this.encoder.encode(json);
    const address = this.wasm.opa_malloc(text.length);
    this.refresh();
    this.bytes.set(text, address);
    this.data = this.wasm.opa_json_parse(address, text.length);
    if (this.data === 0) throw new OpenShellError("internal", "the policy data is not JSON");
    this.heap = align(this.wasm.opa_heap_ptr_get());
    this.refresh();
  }

  /** Evaluates one entry point; `undefined` when the rules have no answer, which callers treat as a refusal. Throws on any failure. */
  evaluate(entrypoint: Entrypoint, input: string): unknown {
    const id = this.entrypoints[entrypoint];
    if (id === undefined) throw new OpenShellError("internal", `the policy rules have no entry point ${entrypoint}`);
    // Three bytes are the most that UTF-8 takes for one UTF-16 unit.
    const needed = this.heap + 3 * input.length + 16 - this.bytes.byteLength;
    if (needed > 0) this.memory.grow(Math.ceil(needed / PAGE));
    this.refresh();
    const { written } = this.encoder.encodeInto(input, this.bytes.subarray(this.heap));
    const result = this.wasm.opa_eval(0, id, this.data, this.heap, written, align(this.heap + written), 0);
    this.refresh();
    const answers: unknown = JSON.parse(this.text(result));
    return Array.isArray(answers) ? (answers[0] as { result?: unknown } | undefined)?.result : undefined;
  }

  private dump(value: number): unknown {
    const address = this.wasm.opa_json_dump(value);
    this.refresh();
    return JSON.parse(this.text(address));
  }

  /** Growing detaches the old buffer. */
  private refresh(): void {
    if (this.bytes.buffer !== this.memory.buffer) this.bytes = new Uint8Array(this.memory.buffer);
  }

  private text(address: number): string {
    this.refresh();
    const end = this.bytes.indexOf(0, address);
    return this.decoder.decode(this.bytes.subarray(address, end));
  }
}
