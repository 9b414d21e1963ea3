/** Nothing that we accept is read differently by another implementation: neither as it came, nor as a server gets it from us. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Dice } from "../../src/policy/dice.test-support.ts";
import { mutate } from "../fuzz/mutate.ts";
import { HTTP_WORDS } from "../fuzz/words.ts";
import { type Case, readCorpus } from "./corpus.ts";
import { type OurReading, readOurselves } from "./ours.ts";
import { find, PEERS, type PeerKind } from "./peers.ts";
import { difference, type Reading, serverDifference } from "./reading.ts";

/** Read by everyone, with what is behind them: without that a comparison says nothing. */
const PLAIN: readonly string[] = [
  "request-line/plain",
  "target/query",
  "length/plain",
  "chunked/plain",
  "chunked/two-chunks",
  "pipelining/bodies",
];

interface Compared {
  /** The corpus as it is. */
  readonly raw: readonly Reading[];
  /** What a server gets of each case that we accept something of. */
  readonly sent: readonly Reading[];
}

const corpus = readCorpus();
const directory = mkdtempSync(join(tmpdir(), "openshell-differential-"));
const readings = new Map<string, Promise<Compared>>();
let ours: readonly (OurReading & { readonly name: string })[] = [];
const accepted = () => ours.filter(({ forwarded }) => forwarded.length > 0);

beforeAll(async () => {
  ours = await Promise.all(corpus.map(async (one) => ({ name: one.name, ...(await readOurselves(one)) })));
  // All at once: their time goes by in waiting for time limits.
  for (const kind of PEERS) if (find(kind) !== undefined) readings.set(kind.name, compared(kind));
  await Promise.allSettled(readings.values());
}, 300_000);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function compared(kind: PeerKind): Promise<Compared> {
  await using peer = await kind.start(directory);
  const raw = await peer.read(corpus);
  return { raw, sent: await peer.read(accepted().map(({ forwarded }) => ({ form: "origin", bytes: forwarded }))) };
}

test("the corpus is large, and some of it is accepted", () => {
  expect(corpus.length).toBeGreaterThanOrEqual(200);
  expect(new Set(corpus.map(({ name }) => name)).size).toBe(corpus.length);
  expect(accepted().length).toBeGreaterThanOrEqual(60);
  expect(ours.filter(({ refused }) => refused).length).toBeGreaterThanOrEqual(200);
});

for (const kind of PEERS) {
  const absent = find(kind) === undefined ? ` (no '${kind.program}' here: Debian package ${kind.package})` : "";
  describe.skipIf(absent !== "")(`threat-23 ${kind.name}${absent}`, () => {
    const about = async () => (await readings.get(kind.name)) ?? { raw: [], sent: [] };

    test("plain requests are read as we do", async () => {
      const { raw } = await about();
      const counts = (of: readonly (Reading | undefined)[]) => of.map((reading) => reading?.requests.length);
      const at = PLAIN.map((name) => ours.findIndex((one) => one.name === name));
      expect(counts(at.map((index) => raw[index]))).toEqual(counts(at.map((index) => ours[index])));
    });

    test("nothing that we accept is read differently", async () => {
      const { raw } = await about();
      expect(ours.flatMap((mine, index) => told(mine.name, difference(mine, raw[index] ?? NOTHING)))).toEqual([]);
    });

    test("a server reads what we send it as we mean it", async () => {
      const { sent } = await about();
      const found = accepted().flatMap(({ name, meant }, index) =>
        told(name, serverDifference({ requests: meant, refused: false }, sent[index] ?? NOTHING)),
      );
      expect(found).toEqual([]);
    });
  });
}

/** `LONG_TESTS=1` also compares this many changed cases. */
const MUTATED = 20_000;

test.skipIf(!process.env["LONG_TESTS"])(
  "threat-23 changed cases are read alike by all that are here",
  async () => {
    const dice = new Dice(Number(process.env["FUZZ_SEED"] ?? 1));
    const seeds = { origin: bytesOf("origin"), proxy: bytesOf("proxy") };
    const cases = Array.from({ length: MUTATED }, (_, index): Case => {
      const form = index % 4 === 0 ? "proxy" : "origin";
      return { name: String(index), form, bytes: mutate(dice, seeds[form], HTTP_WORDS) };
    });
    const mine = await Promise.all(cases.map((one) => readOurselves(one)));
    const interesting = cases.flatMap((one, index) => (mine[index]?.forwarded.length ? [{ one, ours: mine[index] }] : []));
    const found = await Promise.all(
      PEERS.filter((kind) => find(kind) !== undefined).map(async (kind) => {
        await using peer = await kind.start(directory);
        const raw = await peer.read(interesting.map(({ one }) => one));
        const sent = await peer.read(interesting.map(({ ours }) => ({ form: "origin", bytes: ours?.forwarded ?? Buffer.alloc(0) })));
        return interesting.flatMap(({ one, ours }, index) => {
          const [asCame, asSent] = [raw[index] ?? NOTHING, sent[index] ?? NOTHING];
          const what = [
            ...told("as it came", ours && difference(ours, asCame)),
            ...told("as sent", ours && serverDifference({ requests: ours.meant, refused: false }, asSent)),
          ];
          return what.length === 0 ? [] : [`${kind.name}: ${JSON.stringify(one.bytes.toString("latin1"))}: ${what.join("; ")}`];
        });
      }),
    );
    expect(interesting.length).toBeGreaterThan(MUTATED / 50);
    expect(found.flat()).toEqual([]);
  },
  3_600_000,
);

function bytesOf(form: Case["form"]): Buffer[] {
  return corpus.filter((one) => one.form === form && one.bytes.length < 1000).map(({ bytes }) => bytes);
}

const NOTHING: Reading = { requests: [], refused: true };

function told(name: string, what: string | undefined): string[] {
  return what === undefined ? [] : [`${name}: for us ${what}`];
}
