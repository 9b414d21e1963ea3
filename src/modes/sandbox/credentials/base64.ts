/** The characters of base64 that a text alone decides, behind 0, 1 or 2 other bytes: so it looks wherever it stands in an encoded text. */
export function base64Spellings(text: string): string[] {
  const bytes = Buffer.from(text);
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
    return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
  });
}
