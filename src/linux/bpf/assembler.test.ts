import { expect, test } from "bun:test";
import { BpfAssembler } from "./assembler.ts";
import { encodeBpf } from "./instruction.ts";

test("instructions are encoded as the kernel reads them", () => {
  const program = new BpfAssembler()
    .move("r6", "r1")
    .load32("r2", "r6", 12)
    .ifNotEqual("r2", 6, "out")
    .store32("r10", -4, "r2")
    .loadMap("r1", 9)
    .call(1)
    .ifNull("r0", "out")
    .add("r2", -4)
    .label("out")
    .move("r0", 1)
    .exit()
    .assemble();
  const expected = [
    "bf16000000000000", // r6 = r1
    "61620c0000000000", // r2 = *(u32 *)(r6 + 12)
    "5602060006000000", // if w2 != 6 goto +6
    "632afcff00000000", // *(u32 *)(r10 - 4) = r2
    "1811000009000000", // r1 = map behind descriptor 9
    "0000000000000000",
    "8500000001000000", // call 1
    "1500010000000000", // if r0 == 0 goto +1
    "07020000fcffffff", // r2 += -4
    "b700000001000000", // r0 = 1
    "9500000000000000", // exit
  ];
  expect(encodeBpf(program).toString("hex")).toBe(expected.join(""));
});

test("a jump to nowhere, backwards or to two places is a fault of ours", () => {
  expect(() => new BpfAssembler().goto("nowhere").assemble()).toThrow("nowhere is missing");
  expect(() => new BpfAssembler().label("back").goto("back").assemble()).toThrow("behind its jump");
  expect(() => new BpfAssembler().label("twice").label("twice")).toThrow("defined twice");
});
