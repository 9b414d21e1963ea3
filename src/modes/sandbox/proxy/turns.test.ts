import { expect, test } from "bun:test";
import { isTurnOver, nextTurn } from "./turns.ts";

/** Looks at things until the turn is over, as a connection that floods does; gives how many. */
function flood(most: number): number {
  let looked = 0;
  while (looked < most && !isTurnOver()) {
    const until = performance.now() + 0.2;
    while (performance.now() < until);
    looked++;
  }
  return looked;
}

test("threat-16 a turn is shared by all who work in it: others of the process are heard in between, and all come to their end, in order", async () => {
  const left = Array.from({ length: 20 }, () => 40);
  let heard = 0;
  let over = false;
  // Another program's events, as far as this process is concerned.
  const listen = () => {
    heard++;
    if (!over) setTimeout(listen, 0);
  };
  setTimeout(listen, 0);
  const order: number[] = [];
  await new Promise<void>((resolve) => {
    let open = left.length;
    const work = (index: number): void => {
      left[index] = (left[index] ?? 0) - Math.max(1, flood(40));
      if ((left[index] ?? 0) > 0) {
        nextTurn(() => work(index));
        return;
      }
      order.push(index);
      if (--open === 0) resolve();
    };
    for (let index = 0; index < left.length; index++) work(index);
  });
  over = true;
  // 160 ms of work in turns of five.
  expect(heard).toBeGreaterThan(10);
  expect([...order].sort((a, b) => a - b)).toEqual(left.map((_, index) => index));
});
