/**
 * The product's own parts without the product's commands: a compiled program that opens a box and measures inside itself, where no process
 * of a client blurs the numbers. Built by `confined.ts`, so that helpers start exactly as those of the product do.
 */
async function run(word: string): Promise<number> {
  switch (word) {
    case "net-helper":
      return (await import("../src/modes/sandbox/box/net-helper.ts")).main();
    case "sandbox-init":
      return (await import("../src/modes/sandbox/box/sandbox-init.ts")).main();
    case "landlock-shim":
      return (await import("../src/modes/sandbox/box/landlock-shim.ts")).main();
    default:
      return (await import("./inside-box.ts")).measure(word);
  }
}

run(process.argv[2] ?? "").then(
  (code) => process.exit(code),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);

export {};
