import { expect, test } from "bun:test";
import { SUBMISSION_BURST, SUBMISSION_INTERVAL_MS } from "./limits.ts";
import { SubmissionRate } from "./rate.ts";

const START = 1_700_000_000_000;
const YEAR = 365 * 24 * 3600 * 1000;

test("a burst, then one at a time", () => {
  const rate = new SubmissionRate();
  for (let count = 0; count < SUBMISSION_BURST; count++) rate.take("a", START);
  expect(() => rate.take("a", START)).toThrow("submissions at once");
  rate.take("b", START);
  rate.take("a", START + SUBMISSION_INTERVAL_MS);
  expect(() => rate.take("a", START + SUBMISSION_INTERVAL_MS)).toThrow("submissions at once");
});

test("a clock that is set back makes nobody wait until it was", () => {
  const rate = new SubmissionRate();
  for (let count = 0; count < SUBMISSION_BURST; count++) rate.take("a", START);
  expect(() => rate.take("a", START - YEAR)).toThrow("submissions at once");
  rate.take("a", START - YEAR + SUBMISSION_INTERVAL_MS);
  expect(() => rate.take("a", START - YEAR + SUBMISSION_INTERVAL_MS)).toThrow("submissions at once");
  // Time that passes is time; time that is set back is none.
  expect(() => rate.take("a", START - 2 * YEAR)).toThrow("submissions at once");
});
