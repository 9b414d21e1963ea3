import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHosts } from "./hosts-file.ts";
import { CACHE_MS, Resolver } from "./resolver.ts";

test("hosts files: comments, several names and lines, case, trailing dots, mapped addresses", () => {
  const names = parseHosts(
    "# x\n10.0.0.1 A.example b # c\n::1 localhost\nfe80::1%lo x\nnonsense y\n10.0.0.2\ta.example. \n::ffff:10.0.0.3 a.example\n",
  );
  expect(Object.fromEntries(names)).toEqual({ "a.example": ["10.0.0.1", "10.0.0.2", "10.0.0.3"], b: ["10.0.0.1"], localhost: ["::1"] });
});

test("the hosts file answers first, and is read again when it changes", () => {
  const directory = mkdtempSync(join(tmpdir(), "hosts-"));
  const file = join(directory, "hosts");
  const resolver = new Resolver({ hostsFile: file, system: () => Promise.reject(new Error("not to be asked")) });
  expect(resolver.known("a.example")).toBeUndefined();
  writeFileSync(file, "10.0.0.1 a.example\n");
  expect(resolver.known("a.example")).toEqual(["10.0.0.1"]);
  writeFileSync(file, "10.0.0.1 a.example\n10.0.0.22 a.example\n");
  expect(resolver.known("a.example")).toEqual(["10.0.0.1", "10.0.0.22"]);
  rmSync(directory, { recursive: true });
});

test("names are asked absolutely, once for all who wait, and kept for a while; single labels use the search list", async () => {
  const asked: string[] = [];
  let now = 0;
  const system = async (name: string) => {
    asked.push(name);
    return ["93.184.216.34", "::ffff:93.184.216.34", "2606:4700:0::1"];
  };
  const resolver = new Resolver({ hostsFile: "/nonexistent", system, now: () => now });
  const [first, second] = await Promise.all([resolver.resolve("a.example"), resolver.resolve("a.example")]);
  expect(first).toEqual(["93.184.216.34", "2606:4700::1"]);
  expect(second).toBe(first);
  expect(resolver.known("a.example")).toBe(first);
  now = CACHE_MS;
  expect(resolver.known("a.example")).toBeUndefined();
  await resolver.resolve("intranet");
  expect(asked).toEqual(["a.example.", "intranet"]);
});

test("literals need no question, and no answer is an error", async () => {
  const resolver = new Resolver({ hostsFile: "/nonexistent", system: async () => [] });
  expect(resolver.known("2001:DB8::1")).toEqual(["2001:db8::1"]);
  expect(resolver.resolve("a.example")).rejects.toThrow("a.example has no address");
});
