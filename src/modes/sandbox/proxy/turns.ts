/**
 * Milliseconds of looking at messages, statements and frames in one turn of the event loop, over all connections: what another program waits at most
 * beside a hundred connections that flood. As long as a new TLS connection takes.
 */
const TURN_MS = 5;

let until: number | undefined;
/** Work of connections whose turn was over, in order. */
const waiting: (() => void)[] = [];
let due = false;

/** Whether this turn has been used up; the first question begins it. Ask between pieces of work that many of may be at hand. */
export function isTurnOver(): boolean {
  const now = performance.now();
  if (until === undefined) {
    until = now + TURN_MS;
    schedule();
  }
  return now >= until;
}

/** In one of the next turns, behind all who asked before; others of the process are heard in between. */
export function nextTurn(work: () => void): void {
  waiting.push(work);
  schedule();
}

function schedule(): void {
  if (due) return;
  due = true;
  setImmediate(begin);
}

function begin(): void {
  due = false;
  until = undefined;
  try {
    while (waiting.length > 0 && !isTurnOver()) waiting.shift()?.();
  } finally {
    // Whoever throws keeps nobody else from their turn.
    if (waiting.length > 0) schedule();
  }
}
