/** Edits that a typing mistake may need before we stop guessing. */
const MAX_EDITS = 3;

/** Edit distance where two swapped neighbours count once (optimal string alignment). */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}

/** The name a person probably meant, or nothing when none is close. */
export function nearest(word: string, names: Iterable<string>): string | undefined {
  let found: string | undefined;
  let best = Math.min(MAX_EDITS, Math.floor(word.length / 2) + 1) + 1;
  for (const name of names) {
    const edits = name.startsWith(word) && word.length >= 2 ? 1 : distance(word, name);
    if (edits < best) {
      best = edits;
      found = name;
    }
  }
  return found;
}
