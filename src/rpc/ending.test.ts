import { expect, test } from "bun:test";
import { Ending } from "./ending.ts";

test("a wait settles with what it waits for, or with the end", async () => {
  const end = Promise.withResolvers<string>();
  const ending = new Ending(end.promise);
  expect(await ending.race(Promise.resolve(1))).toBe(1);
  await expect(ending.race(Promise.reject(new Error("own")))).rejects.toThrow("own");
  const waiting = ending.race(new Promise<never>(() => {}));
  end.resolve("over");
  expect(await waiting).toBe("over");
  expect(await ending.race(new Promise<never>(() => {}))).toBe("over");
});

test("an end that fails fails the waits", async () => {
  const end = Promise.withResolvers<never>();
  const waiting = new Ending(end.promise).race(new Promise<never>(() => {}));
  end.reject(new Error("lost"));
  await expect(waiting).rejects.toThrow("lost");
});

test("values that have passed are not kept", async () => {
  const ending = new Ending(new Promise<never>(() => {}));
  const passed: WeakRef<Uint8Array>[] = [];
  for (let index = 0; index < 200; index += 1) {
    const value = new Uint8Array(64 * 1024);
    passed.push(new WeakRef(value));
    await ending.race(Promise.resolve(value));
  }
  // References are held until the end of a turn of the event loop.
  await new Promise((resolve) => setTimeout(resolve, 0));
  Bun.gc(true);
  expect(passed.filter((value) => value.deref() !== undefined).length).toBeLessThan(20);
});
