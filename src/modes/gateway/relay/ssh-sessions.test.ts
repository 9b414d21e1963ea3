import { expect, test } from "bun:test";
import { SSH_SESSION_LIFETIME_MS, SshSessions } from "./ssh-sessions.ts";

function sessions() {
  const clock = { time: 1_000_000, now: () => clock.time };
  return { clock, all: new SshSessions(clock, clock.now) };
}

const alice = { sandboxId: "one", subject: "alice", kind: "ssh" } as const;

test("a token opens its sandbox for the user who asked, and nothing else", () => {
  const { all } = sessions();
  const { token } = all.create("one", "alice");
  using tunnel = all.claim(token, alice);
  expect(tunnel.signal.aborted).toBe(false);
  for (const request of [
    { ...alice, sandboxId: "two" },
    { ...alice, subject: "mallory" },
  ])
    expect(() => all.claim(token, request)).toThrow("not valid for this sandbox");
  for (const other of ["", "x", `${token}x`, token.slice(1)]) expect(() => all.claim(other, alice)).toThrow("not valid for this sandbox");
});

test("three ssh connections per token, twenty per sandbox; a closed one makes room", () => {
  const { all } = sessions();
  const first = all.create("one", "alice");
  const open = [1, 2, 3].map(() => all.claim(first.token, alice));
  expect(() => all.claim(first.token, alice)).toThrow("3 ssh connections use this token, at most 3 may");
  open.pop()?.[Symbol.dispose]();
  all.claim(first.token, alice);
  for (let index = 0; index < 17; index += 1) all.claim(all.create("one", "alice").token, alice);
  expect(() => all.claim(all.create("one", "alice").token, alice)).toThrow("at most 20 may");
  // Another sandbox, and forwarded connections, are counted apart.
  all.claim(all.create("two", "alice").token, { ...alice, sandboxId: "two" });
  all.claim(first.token, { ...alice, kind: "tcp" });
});

test("revoking ends what is open; only its user can", () => {
  const { all } = sessions();
  const { token } = all.create("one", "alice");
  const tunnel = all.claim(token, alice);
  expect(all.revoke(token, "mallory")).toBe(false);
  expect(tunnel.signal.aborted).toBe(false);
  expect(all.revoke(token, "alice")).toBe(true);
  expect(tunnel.signal.aborted).toBe(true);
  expect(() => all.claim(token, alice)).toThrow("not valid");
  expect(all.revoke(token, "alice")).toBe(false);
});

test("a sandbox that goes takes its tokens with it", () => {
  const { all } = sessions();
  const { token } = all.create("one", "alice");
  const other = all.create("two", "alice");
  const tunnel = all.claim(token, alice);
  all.revokeSandbox("one");
  expect(tunnel.signal.aborted).toBe(true);
  expect(() => all.claim(token, alice)).toThrow("not valid");
  all.claim(other.token, { ...alice, sandboxId: "two" });
});

test("a token lasts a day", () => {
  const { all, clock } = sessions();
  const { token, expires } = all.create("one", "alice");
  expect(expires).toBe(clock.time + SSH_SESSION_LIFETIME_MS);
  clock.time += SSH_SESSION_LIFETIME_MS - 1;
  all.claim(token, alice);
  clock.time += 1;
  expect(() => all.claim(token, alice)).toThrow("not valid");
});

test("tokens that nobody uses do not pile up", () => {
  const { all } = sessions();
  const used = all.create("one", "alice");
  const tunnel = all.claim(used.token, alice);
  const oldest = all.create("one", "alice");
  for (let index = 0; index < 300; index += 1) all.create("one", "alice");
  expect(() => all.claim(oldest.token, alice)).toThrow("not valid");
  expect(tunnel.signal.aborted).toBe(false);
});

test("a clock that is set neither ends a token early nor makes it last", () => {
  const clock = { time: 1_000_000_000, now: () => clock.time };
  let elapsed = 0;
  const all = new SshSessions(clock, () => elapsed);
  const { token } = all.create("one", "alice");
  clock.time += 10 * SSH_SESSION_LIFETIME_MS;
  all.claim(token, alice)[Symbol.dispose]();
  clock.time = 0;
  elapsed += SSH_SESSION_LIFETIME_MS;
  expect(() => all.claim(token, alice)).toThrow("not valid for this sandbox");
});
