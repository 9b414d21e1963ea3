/** Runs one target on many changed inputs: nothing is thrown, nothing hangs, nothing is kept. */
import { expect, test } from "bun:test";
import { Dice } from "../../src/policy/dice.test-support.ts";
import { mutate } from "./mutate.ts";

/** `LONG_TESTS=1` runs a million inputs for each target; `FUZZ_ROUNDS` says another number, `FUZZ_SEED` begins elsewhere. */
const ROUNDS = Number(process.env["FUZZ_ROUNDS"] ?? (process.env["LONG_TESTS"] ? 1_000_000 : 20_000));
const SEED = Number(process.env["FUZZ_SEED"] ?? 20_021);
/** A million leaks of the smallest object are more. What Bun itself keeps of compiled code and freed pages is less. */
const MAX_GROWTH_BYTES = 24 * 1024 * 1024;
/** A hang is an input that takes for ever; this only ends the test. */
const PATIENCE_MS = Math.max(120_000, ROUNDS * 5);

export interface Target {
  readonly name: string;
  readonly seeds: readonly (Buffer | string)[];
  readonly words?: readonly string[];
  /** Throws when a property does not hold. `dice`: for how the input is cut. */
  run(input: Buffer, dice: Dice): void | Promise<void>;
}

export function fuzz({ name, seeds, words = [], run }: Target): void {
  const inputs = seeds.map((seed) => (typeof seed === "string" ? Buffer.from(seed, "latin1") : seed));
  test(
    `fuzz: ${name}`,
    async () => {
      const dice = new Dice(SEED);
      const once = async (input: Buffer) => {
        try {
          const running = run(input, dice);
          if (running !== undefined) await running;
        } catch (error) {
          throw new Error(
            `${name}, seed ${SEED}, input ${JSON.stringify(input.toString("latin1"))}: ${error instanceof Error ? error.stack : error}`,
          );
        }
      };
      for (const input of inputs) await once(input);
      let before = 0;
      for (let round = 0; round < ROUNDS; round++) {
        // What is compiled and grown by then is not counted.
        if (round === Math.floor(ROUNDS / 4)) before = await keptBytes();
        await once(mutate(dice, inputs, words));
      }
      expect(before).toBeGreaterThan(0);
      expect((await keptBytes()) - before).toBeLessThan(MAX_GROWTH_BYTES);
    },
    PATIENCE_MS,
  );
}

async function keptBytes(): Promise<number> {
  // What waits for a microtask or a finaliser is no growth.
  await new Promise((resolve) => setImmediate(resolve));
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}

/** Fails with both when they are not the same. */
export function same(what: string, one: unknown, other: unknown): void {
  if (!Bun.deepEquals(one, other)) throw new Error(`${what}: ${Bun.inspect(one)} and ${Bun.inspect(other)}`);
}

export function holds(what: string, condition: boolean): void {
  if (!condition) throw new Error(`does not hold: ${what}`);
}
