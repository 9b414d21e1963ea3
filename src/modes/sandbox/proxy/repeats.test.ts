import { expect, test } from "bun:test";
import { eventually } from "../../../../test/eventually.ts";
import { Repeats } from "./repeats.ts";

interface Event {
  readonly action: "allowed" | "denied";
  readonly method: string;
  readonly reason?: string;
}

const number = ({ reason = "" }: Event) => Number(/(\d+) like this within a second$/.exec(reason)?.[1] ?? 1);

test("threat-16 a thousand messages that are alike are few events, and none is left out", async () => {
  const told: Event[] = [];
  const repeats = new Repeats<Event>((event) => told.push(event));
  for (let count = 0; count < 1000; count++) repeats.tell({ action: "allowed", method: count % 10 === 0 ? "B" : "A" });
  const sum = (method: string) => told.filter((event) => event.method === method).reduce((all, event) => all + number(event), 0);
  await eventually("all are told of", 30_000, async () => (sum("A") === 900 && sum("B") === 100) || undefined);
  // The loop may have taken more than one period.
  expect(told.length).toBeLessThan(200);
});

test("what is denied is told at once, behind what was counted", () => {
  const told: Event[] = [];
  const repeats = new Repeats<Event>((event) => told.push(event));
  for (let count = 0; count < 40; count++) repeats.tell({ action: "allowed", method: "A", reason: "audited" });
  repeats.tell({ action: "denied", method: "C" });
  expect(told.reduce((all, event) => all + number(event), 0)).toBe(41);
  expect(told.at(-1)).toEqual({ action: "denied", method: "C" });
  expect(told.at(-2)?.reason).toBe("audited; 8 like this within a second");
});

test("kinds that are all different are told one by one", () => {
  const told: Event[] = [];
  const repeats = new Repeats<Event>((event) => told.push(event));
  for (let count = 0; count < 200; count++) repeats.tell({ action: "allowed", method: `M${count}` });
  repeats.tell({ action: "denied", method: "end" });
  expect(told).toHaveLength(201);
});
