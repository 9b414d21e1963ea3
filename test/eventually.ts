/** Between two looks. Short, because what is waited for takes tens of milliseconds; not zero, because the waited-for work needs the processor. */
const PAUSE_MS = 25;

/** Looks again and again until `look` gives a value; after `withinMs` an error says what did not happen, with `explain`'s text. */
export async function eventually<T>(
  what: string,
  withinMs: number,
  look: () => Promise<T | undefined>,
  explain: () => Promise<string> = async () => "",
): Promise<T> {
  const until = performance.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > until) throw new Error(`${what}: not within ${withinMs} ms. ${await explain()}`);
    await Bun.sleep(PAUSE_MS);
  }
}
