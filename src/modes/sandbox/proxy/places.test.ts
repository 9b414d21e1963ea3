import { expect, test } from "bun:test";
import { type Holder, Places } from "./places.ts";
import { WaitingLine } from "./waiting-line.ts";

const flooder: Holder = { program: "exe /usr/bin/perl", process: "pid 1" };
const other: Holder = { program: "exe /usr/bin/curl", process: "pid 2" };
const process = (number: number): Holder => ({ program: "exe /usr/bin/perl", process: `pid ${number}` });

/** Takes all it gets; gives how many that were. */
function takeAll(places: Places, holder: Holder): number {
  let taken = 0;
  for (; places.hasRoom(holder); taken++) places.take(holder);
  return taken;
}

test("threat-16 one program, of one process or of many, leaves a quarter of all places to others", () => {
  const one = new Places(256);
  expect(takeAll(one, flooder)).toBe(192);
  expect(takeAll(one, other)).toBe(48);
  const many = new Places(256);
  let taken = 0;
  for (let number = 0; number < 500; number++) taken += takeAll(many, process(number));
  expect(taken).toBe(192);
  expect(many.hasRoom(other)).toBe(true);
});

test("sixteen places are for everybody while there are any; what is given back can be taken again", () => {
  const places = new Places(20);
  expect(takeAll(places, flooder)).toBe(16);
  expect(takeAll(places, other)).toBe(4);
  places.release(flooder);
  expect(places.hasRoom(flooder)).toBe(true);
  const single = new Places(1);
  expect(takeAll(single, flooder)).toBe(1);
  single.release(flooder);
  expect(takeAll(single, other)).toBe(1);
});

test("a free place goes to the program that has fewest, and among its connections to the first", () => {
  const places = new Places(256);
  const line = new WaitingLine<{ readonly name: string; readonly holder: Holder }>(512);
  for (const name of ["a", "b"]) {
    expect(line.add({ name, holder: flooder })).toBe(true);
    places.take(flooder);
  }
  const mine = { name: "c", holder: other };
  line.add(mine);
  line.add({ name: "d", holder: other });
  line.remove(mine);
  const order: string[] = [];
  for (let next = line.next(() => true, places); next !== undefined; next = line.next(() => true, places)) order.push(next.name);
  expect(order).toEqual(["d", "a", "b"]);
  expect(line.length).toBe(0);
});

test("who may not is passed over", () => {
  const line = new WaitingLine<{ readonly holder: Holder }>(1);
  line.add({ holder: flooder });
  expect(line.add({ holder: other })).toBe(false);
  expect(line.next(() => false, new Places(1))).toBeUndefined();
  expect(line.length).toBe(1);
});
