import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openTokenIssuer } from "./tokens.ts";

const afterwards: (() => void)[] = [];
afterEach(() => {
  for (const end of afterwards.splice(0)) end();
});

async function issuer(clock: { time: number }) {
  const directory = mkdtempSync(join(tmpdir(), "openshell-tokens-"));
  afterwards.push(() => rmSync(directory, { recursive: true }));
  return openTokenIssuer(directory, "gateway", () => clock.time);
}

const refused = "the bearer token is not valid for this gateway";

test("a token that was verified before is refused as soon as it is over, and good again by a clock that went back", async () => {
  const clock = { time: 1_800_000_000_000 };
  const tokens = await issuer(clock);
  const { token, expires } = await tokens.issue("one", "supervisor");
  const claims = { sandboxId: "one", kind: "supervisor", expires } as const;
  for (let time = 0; time < 3; time++) expect(await tokens.verify(token)).toEqual(claims);
  clock.time = expires + 60_000;
  for (let time = 0; time < 2; time++) await expect(tokens.verify(token)).rejects.toThrow(refused);
  clock.time -= 1000;
  for (let time = 0; time < 2; time++) expect(await tokens.verify(token)).toEqual(claims);
});

test("what only looks like a token that is known is refused", async () => {
  const clock = { time: 1_800_000_000_000 };
  const tokens = await issuer(clock);
  const { token } = await tokens.issue("one", "agent");
  await tokens.verify(token);
  const [head, body, signature = ""] = token.split(".");
  const altered = [
    `${token}x`,
    token.slice(0, -2),
    `${head}.${body}.${signature.split("").reverse().join("")}`,
    `${head}.${Buffer.from(JSON.stringify({ sandbox_id: "two", kind: "supervisor" })).toString("base64url")}.${signature}`,
  ];
  for (const other of altered) for (let time = 0; time < 2; time++) await expect(tokens.verify(other)).rejects.toThrow(refused);
  const another = await issuer(clock);
  await expect(another.verify(token)).rejects.toThrow(refused);
});
