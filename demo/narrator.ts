/** How the demo speaks: one line of explanation, the command as a person would type it, and its real output. */

const colour = process.stdout.isTTY && !process.env["NO_COLOR"];
const paint = (code: number, text: string) => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);

let step = 0;

export function explain(text: string): void {
  step += 1;
  console.log(`\n${paint(1, `${step}. ${text}`)}`);
}

export function command(text: string): void {
  console.log(paint(36, `   $ ${text}`));
}

/** Output longer than this is cut: the demo shows the loop, not the whole of a listing. */
const MAX_LINES = 32;

export function output(text: string): void {
  const lines = text.trimEnd().split("\n");
  for (const line of lines.slice(0, MAX_LINES)) console.log(`     ${line}`);
  if (lines.length > MAX_LINES) console.log(`     … ${lines.length - MAX_LINES} more lines`);
}

export function verdict(good: boolean, text: string): void {
  console.log(`   ${good ? paint(32, "✓") : paint(31, "✗")} ${text}`);
}
