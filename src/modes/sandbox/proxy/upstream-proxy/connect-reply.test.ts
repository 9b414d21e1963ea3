import { expect, test } from "bun:test";
import { readConnectReply } from "./connect-reply.ts";

const read = (text: string) => readConnectReply(Buffer.from(text, "latin1"));
const problem = (text: string) => {
  const reply = read(text);
  return reply.kind === "refused" ? reply.problem : reply.kind;
};

test("any 2xx opens the tunnel, and what is behind the head belongs to it", () => {
  for (const line of ["HTTP/1.1 200 OK", "HTTP/1.0 200 Connection established", "HTTP/1.1 204", "HTTP/1.1 299 "])
    expect(read(`${line}\r\nContent-Length: 5\r\nVia: x\r\n\r\nSSH-2.0`)).toEqual({ kind: "established", rest: Buffer.from("SSH-2.0") });
  expect(read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")).toEqual({ kind: "established", rest: Buffer.alloc(0) });
});

test("every beginning of an answer waits for the rest", () => {
  const answer = "HTTP/1.1 200 OK\r\nVia: x\r\n\r\n";
  for (let size = 0; size < answer.length; size++) expect(read(answer.slice(0, size)).kind).toBe("incomplete");
});

test("everything else is refused, with words that can be shown", () => {
  expect(problem("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")).toBe("407 Proxy Authentication Required");
  expect(problem("HTTP/1.1 403 \x1b[2Jno\u00e9\r\n\r\n<html>")).toBe("403 ?[2Jno?");
  expect(problem(`HTTP/1.1 502 ${"x".repeat(500)}\r\n\r\n`)).toHaveLength(84);
  for (const text of [
    "HTTP/2 200\r\n\r\n",
    "SSH-2.0-x\r\n",
    "\x15\x03\x01\x00\x02\x02",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1 abc\r\n\r\n",
  ])
    expect([text, problem(text)]).toEqual([text, "no HTTP answer"]);
  expect(problem(`HTTP/1.1 200 OK\r\n${"x".repeat(20_000)}`)).toContain("16384");
});
