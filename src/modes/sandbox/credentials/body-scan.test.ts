import { describe, expect, test } from "bun:test";
import { HeadError } from "../proxy/http1/refused.ts";
import { BodyScan } from "./body-scan.ts";

function passes(pieces: readonly string[]): string | undefined {
  const scan = new BodyScan();
  try {
    return pieces.map((piece, index) => scan.body(Buffer.from(piece), index === pieces.length - 1).toString()).join("");
  } catch (error) {
    if (error instanceof HeadError) return undefined;
    throw error;
  }
}

describe("a body in which no placeholder is replaced", () => {
  test.each(["openshell:resolve:env:TOKEN", "xoxb-OPENSHELL-RESOLVE-ENV-TOKEN"])(
    "case-77 threat-13 is refused with %s in it, however it is cut",
    (placeholder) => {
      const text = `--boundary\r\n\r\n${placeholder}\r\n--boundary--`;
      for (let at = 0; at <= text.length; at++) expect(passes([text.slice(0, at), text.slice(at)])).toBeUndefined();
      for (const size of [1, 2, 5, 21])
        expect(
          passes(Array.from({ length: Math.ceil(text.length / size) }, (_, n) => text.slice(n * size, n * size + size))),
        ).toBeUndefined();
    },
  );

  test("passes as it is without one", () => {
    const text = "openshell:resolve:en openshell:resolve:env; OPENSHELL-RESOLVE-ENV";
    expect(passes([...text])).toBe(text);
    expect(passes(["", text, ""])).toBe(text);
  });
});
