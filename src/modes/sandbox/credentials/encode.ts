/** Longest secret: a request head has no room for more. Bytes. */
export const MAX_SECRET_BYTES = 16_384;
/** A shorter one could not be told from other text in an answer, and is no secret. Bytes. */
export const MIN_SECRET_BYTES = 6;

// biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
const CONTROL = /[\x00-\x1f\x7f]/;

/** Why a secret can be sent nowhere, or undefined. Says nothing of the secret itself. */
export function secretProblem(secret: string): string | undefined {
  if (CONTROL.test(secret)) return "has a line break or another control character";
  const size = Buffer.byteLength(secret);
  if (size < MIN_SECRET_BYTES) return `is shorter than ${MIN_SECRET_BYTES} bytes, too short to be recognised in answers`;
  if (size > MAX_SECRET_BYTES) return `is longer than ${MAX_SECRET_BYTES} bytes`;
  if (secret.trim() !== secret) return "begins or ends with a blank";
  return undefined;
}

/** Why a secret cannot stand in a path: servers would read another path out of it. */
export function pathSecretProblem(secret: string): string | undefined {
  return /[/\\?#]|\.\./.test(secret) ? "has a character that would change the path (/ \\ ? # ..)" : undefined;
}

/** As the value of a header field: fields keep bytes as Latin-1. */
export function headerBytes(secret: string): string {
  return Buffer.from(secret).toString("latin1");
}

/** Everything but unreserved characters escaped (RFC 3986 section 2.3). */
export function strictEncoded(secret: string): string {
  return encodeURIComponent(secret).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** As part of a path segment (`pchar` of RFC 3986 section 3.3); `;` is escaped, since what follows it is dropped as a parameter. */
export function segmentEncoded(secret: string): string {
  return encodeURIComponent(secret).replace(/%(3A|40|24|26|2B|2C|3D)/g, (encoded) => decodeURIComponent(encoded));
}

/** As a form field (`application/x-www-form-urlencoded`). */
export function formEncoded(secret: string): string {
  return strictEncoded(secret).replaceAll("%20", "+");
}

/** Inside a JSON string. */
export function jsonEncoded(secret: string): string {
  return JSON.stringify(secret).slice(1, -1);
}

/** What an ASCII character means as a hexadecimal digit; NaN: nothing. */
export function hexValue(character: number | undefined): number {
  if (character === undefined) return Number.NaN;
  if (character >= 48 && character <= 57) return character - 48;
  const letter = character | 0x20;
  return character < 128 && letter >= 97 && letter <= 102 ? letter - 87 : Number.NaN;
}
