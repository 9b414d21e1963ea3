import { base64Spellings } from "./base64.ts";
import { formEncoded, jsonEncoded, MIN_SECRET_BYTES, segmentEncoded, strictEncoded } from "./encode.ts";

/**
 * The spellings of a secret that are looked for in answers, as Latin-1 text: as it is, percent-encoded, as a form field, in JSON, in base64 at
 * any place of the encoded text, in hexadecimal.
 */
export function spellingsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const json = jsonEncoded(secret);
  const percent = [encodeURIComponent(secret), encodeURI(secret), strictEncoded(secret), segmentEncoded(secret), formEncoded(secret)];
  const base64 = base64Spellings(secret);
  const all = [
    ...[secret, json, json.replaceAll("/", "\\/"), ...percent, ...percent.map(lowerEscapes)],
    ...[...base64, ...base64.map((text) => text.replaceAll("+", "-").replaceAll("/", "_")), ...base64.map(encodeURIComponent)],
    ...[bytes.toString("hex"), bytes.toString("hex").toUpperCase()],
  ];
  return [...new Set(all.map((text) => Buffer.from(text).toString("latin1")))].filter((text) => text.length >= MIN_SECRET_BYTES);
}

function lowerEscapes(text: string): string {
  return text.replace(/%[0-9A-F]{2}/g, (hex) => hex.toLowerCase());
}
