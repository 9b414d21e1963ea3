import { expect, test } from "bun:test";
import { looksLikePorts, parsePorts } from "./ports.ts";

test("a port, a pair, or an address to listen on", () => {
  expect(parsePorts("8080")).toEqual({ bind: "127.0.0.1", local: 8080, remote: 8080 });
  expect(parsePorts("8080:9090")).toEqual({ bind: "127.0.0.1", local: 9090, remote: 8080 });
  expect(parsePorts("8080:0")).toEqual({ bind: "127.0.0.1", local: 0, remote: 8080 });
  expect(parsePorts("0.0.0.0:8080")).toEqual({ bind: "0.0.0.0", local: 8080, remote: 8080 });
  expect(parsePorts("[::1]:8080")).toEqual({ bind: "::1", local: 8080, remote: 8080 });
  expect(parsePorts("localhost:8080").bind).toBe("127.0.0.1");
});

for (const text of ["0", "65536", "", "x", "8080:", ":8080", "host:80", "80:70000", "-1", "8080:9090:1"]) {
  test(`'${text}' is no port`, () => expect(() => parsePorts(text)).toThrow("not a port to forward"));
}

test("a port is told from a name", () => {
  expect(["8080", "8080:1", "::1:80"].every(looksLikePorts)).toBe(true);
  expect(["work", "a-1"].some(looksLikePorts)).toBe(false);
});
