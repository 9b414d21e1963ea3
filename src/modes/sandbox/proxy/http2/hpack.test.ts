import { describe, expect, test } from "bun:test";
import { HpackDecoder, type RawField } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { huffmanRead, huffmanSize, huffmanWrite } from "./huffman.ts";

const limits = { soft: 16_384, hard: 65_536 };
const bytes = (hex: string) => Buffer.from(hex.replaceAll(/\s/g, ""), "hex");
const lines = (fields: readonly RawField[]) => fields.map(([name, value]) => `${name}: ${value}`);

function coded(text: string): Buffer {
  const into = Buffer.alloc(huffmanSize(text));
  expect(huffmanWrite(text, into, 0)).toBe(into.length);
  return into;
}

describe("Huffman code", () => {
  test("the strings of RFC 7541 appendix C", () => {
    for (const [text, hex] of [
      ["www.example.com", "f1e3 c2e5 f23a 6ba0 ab90 f4ff"],
      ["no-cache", "a8eb 1064 9cbf"],
      ["custom-key", "25a8 49e9 5ba9 7d7f"],
      ["custom-value", "25a8 49e9 5bb8 e8b4 bf"],
      ["302", "6402"],
      ["private", "aec3 771a 4b"],
      ["Mon, 21 Oct 2013 20:13:21 GMT", "d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff"],
      ["https://www.example.com", "9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3"],
      [
        "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      ],
    ] as const) {
      expect(coded(text).toString("hex")).toBe(bytes(hex).toString("hex"));
      expect(huffmanRead(bytes(hex), 0, bytes(hex).length)).toBe(text);
    }
  });

  test("every byte, alone and among others", () => {
    let all = "";
    for (let symbol = 0; symbol < 256; symbol++) {
      const text = String.fromCharCode(symbol);
      all += text;
      expect(huffmanRead(coded(text), 0, coded(text).length)).toBe(text);
    }
    const both = all + [...all].reverse().join("");
    expect(huffmanRead(coded(both), 0, coded(both).length)).toBe(both);
  });

  test("padding of zeros, of a whole byte, and the end symbol are refused", () => {
    for (const hex of ["18", "1fff", "ffffffff", "3fffffffff", "fffffffc"])
      expect(huffmanRead(bytes(hex), 0, bytes(hex).length)).toBeUndefined();
  });
});

describe("header blocks", () => {
  test("requests without and with Huffman code: RFC 7541 C.3 and C.4", () => {
    for (const blocks of [
      [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
      [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    ]) {
      const decoder = new HpackDecoder(limits);
      const decoded = blocks.map((hex) => lines(decoder.decode(bytes(hex)).fields));
      expect(decoded).toEqual([
        [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"],
        [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com", "cache-control: no-cache"],
        [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com", "custom-key: custom-value"],
      ]);
    }
  });

  test("responses with eviction: RFC 7541 C.6, in a table of 256 bytes", () => {
    const decoder = new HpackDecoder(limits);
    const decoded = [
      "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
      "4883 640e ffc1 c0bf",
      "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ].map((hex) => lines(decoder.decode(bytes(hex)).fields));
    expect(decoded).toEqual([
      [":status: 302", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", "location: https://www.example.com"],
      [":status: 307", "cache-control: private", "date: Mon, 21 Oct 2013 20:13:21 GMT", "location: https://www.example.com"],
      [
        ":status: 200",
        "cache-control: private",
        "date: Mon, 21 Oct 2013 20:13:22 GMT",
        "location: https://www.example.com",
        "content-encoding: gzip",
        "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
      ],
    ]);
  });

  test("literals: RFC 7541 C.2", () => {
    const decoder = new HpackDecoder(limits);
    expect(lines(decoder.decode(bytes("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572")).fields)).toEqual([
      "custom-key: custom-header",
    ]);
    expect(lines(decoder.decode(bytes("040c 2f73 616d 706c 652f 7061 7468")).fields)).toEqual([":path: /sample/path"]);
    expect(lines(decoder.decode(bytes("1008 7061 7373 776f 7264 0673 6563 7265 74")).fields)).toEqual(["password: secret"]);
    expect(lines(decoder.decode(bytes("be")).fields)).toEqual(["custom-key: custom-header"]);
  });

  test("what cannot be read ends the connection", () => {
    for (const [hex, reason] of [
      ["80", "index 0"],
      ["be", "index 62"],
      ["ff ff ff ff ff 7f", "integer too large"],
      ["40 0a 6375", "ends early"],
      ["40", "ends early"],
      ["82 20", "table size update"],
      ["3f e2 1f", "table of 4097"],
      ["00 81 18 00", "Huffman"],
      ["00 84 ff ff ff ff 00", "Huffman"],
    ] as const)
      expect(() => new HpackDecoder(limits).decode(bytes(hex))).toThrow(reason);
  });

  test("a list beyond the soft limit is read and not kept, beyond the hard one the connection ends", () => {
    const long = `4001 78 7fa11e${"61".repeat(4000)}`;
    const decoder = new HpackDecoder(limits);
    const block = decoder.decode(Buffer.concat([bytes(long), Buffer.alloc(5, 0xbe)]));
    expect(block.tooLarge).toBe(true);
    expect(block.fields.length).toBeLessThan(5);
    expect(() => decoder.decode(Buffer.alloc(200, 0xbe))).toThrow("header list larger than 65536");
  });

  test("what we write is read back, whatever it is, and says first that it uses no table", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(limits);
    const fields: RawField[] = [
      [":method", "GET"],
      [":status", "418"],
      ["authorization", "Bearer x"],
      ["x-empty", ""],
      ["x-long", "é".repeat(300)],
      ["x-odd", "\x00\xff\\~"],
    ];
    const first = encoder.encode(fields);
    expect(first[0]).toBe(0x20);
    expect(decoder.decode(first)).toEqual({ fields, tooLarge: false });
    const second = encoder.encode(fields);
    expect(second.length).toBe(first.length - 1);
    expect(decoder.decode(second).fields).toEqual(fields);
    expect(() => decoder.decode(Buffer.of(0xbe))).toThrow("index 62");
  });
});
