import { expect, test } from "bun:test";
import { parseMount } from "./mount-flag.ts";

test.each([
  ["/a", { source: "/a", target: "/a", readWrite: false }],
  ["/a:/b", { source: "/a", target: "/b", readWrite: false }],
  ["/a:rw", { source: "/a", target: "/a", readWrite: true }],
  ["/a:/b:ro", { source: "/a", target: "/b", readWrite: false }],
  [".:/sandbox/p:rw", { source: process.cwd(), target: "/sandbox/p", readWrite: true }],
])("%s", (flag, mount) => {
  expect(parseMount(flag)).toEqual(mount);
});

test.each(["", ":", "/a:/b:/c", "/a:b", "/a:/b:rx"])("'%s' is refused with the form that was expected", (flag) => {
  expect(() => parseMount(flag)).toThrow(/--mount/);
});
