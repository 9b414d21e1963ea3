import { expect, test } from "bun:test";
import { Attempts } from "./attempts.ts";

const source = (port: number) => ({ address: "10.200.0.2", port });
const web = { address: "93.184.216.34", port: 443 };
const attempt = (port: number) => ({ source: source(port), destination: web });

test("what is accepted in time is not reported, whichever comes first", () => {
  const attempts = new Attempts();
  attempts.opened(attempt(1), 0);
  attempts.accepted(source(1), web, 100);
  attempts.accepted(source(2), web, 100);
  attempts.opened(attempt(2), 250);
  expect(attempts.unreported(10_000)).toEqual([]);
});

test("what is not accepted is reported once, after the time that accepting may take", () => {
  const attempts = new Attempts();
  attempts.opened(attempt(1), 0);
  attempts.opened(attempt(1), 1000); // the kernel repeats it
  attempts.opened(attempt(2), 1500);
  expect(attempts.unreported(1999)).toEqual([]);
  expect(attempts.unreported(2000)).toEqual([attempt(1)]);
  expect(attempts.unreported(4000)).toEqual([attempt(2)]);
  expect(attempts.unreported(9000)).toEqual([]);
});

test("another destination, port or source is another attempt", () => {
  const attempts = new Attempts();
  attempts.opened(attempt(1), 0);
  attempts.accepted(source(1), { ...web, port: 80 }, 1);
  attempts.accepted(source(1), { ...web, address: "93.184.216.35" }, 1);
  attempts.accepted({ ...source(1), address: "fd00::2" }, web, 1);
  expect(attempts.unreported(2000)).toEqual([attempt(1)]);
});

test("accepted connections whose packet found the queue full are counted, so that they are not told as unseen", () => {
  const attempts = new Attempts();
  for (let port = 1; port <= 5; port++) attempts.accepted(source(port), web, 0);
  attempts.opened(attempt(3), 250);
  expect(attempts.takeUnmatched()).toBe(4);
  expect(attempts.takeUnmatched()).toBe(0);
});

test("only the newest accepted connections are remembered", () => {
  const attempts = new Attempts();
  for (let port = 0; port < 100_000; port++) attempts.accepted(source(port), web, 0);
  attempts.opened(attempt(0), 1); // forgotten: it was crowded out
  attempts.opened(attempt(99_999), 1);
  expect(attempts.unreported(2001)).toEqual([attempt(0)]);
});
