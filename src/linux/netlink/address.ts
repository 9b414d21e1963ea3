import ipaddr from "ipaddr.js";
import { OpenShellError } from "../../error.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;

export interface BinaryAddress {
  readonly family: typeof AF_INET | typeof AF_INET6;
  readonly bytes: Uint8Array;
}

/** Dotted decimal without leading zeros: the form in which nearly every address of a box comes, once per connection. */
const DOTTED = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

/** Text to the kernel's form. IPv4-mapped IPv6 stays IPv6 here. */
export function toBinary(text: string): BinaryAddress {
  if (DOTTED.test(text)) return { family: AF_INET, bytes: Uint8Array.from(text.split("."), Number) };
  if (!ipaddr.isValid(text)) throw new OpenShellError("invalid_argument", `${JSON.stringify(text)} is not an IP address`);
  const address = ipaddr.parse(text);
  return { family: address.kind() === "ipv4" ? AF_INET : AF_INET6, bytes: Uint8Array.from(address.toByteArray()) };
}

/** The kernel's form to text: dotted IPv4, or RFC 5952 IPv6. */
export function toText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const address = ipaddr.fromByteArray([...bytes]);
  return address.kind() === "ipv6" ? (address as ipaddr.IPv6).toRFC5952String() : address.toString();
}

/** One spelling per address: IPv4-mapped IPv6 as IPv4, IPv6 by RFC 5952. */
export function canonicalAddress(text: string): string {
  if (DOTTED.test(text)) return text;
  const { bytes } = toBinary(text);
  const mapped = bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return toText(mapped ? bytes.subarray(12) : bytes);
}
