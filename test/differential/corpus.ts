/** The cases of `corpus/`; its README says how they are written. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Case {
  /** File and name. */
  readonly name: string;
  /** Whom the bytes are meant for: a proxy, or a server. */
  readonly form: "proxy" | "origin";
  readonly bytes: Buffer;
}

const FOLDER = join(import.meta.dir, "corpus");
const HOST = "Host: a.example\r\n";
const NEXT = `GET /next HTTP/1.1\r\n${HOST}\r\n`;

export function readCorpus(): readonly Case[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith(".txt"))
    .sort()
    .flatMap((file) => readFileSync(join(FOLDER, file), "utf8").split("\n").flatMap(caseOf(file)));
}

function caseOf(file: string): (line: string) => Case[] {
  return (line) => {
    if (line === "" || line.startsWith("#")) return [];
    const tab = line.indexOf("\t");
    if (tab < 0) throw new Error(`${file}: no tab in '${line}'`);
    const form = file.startsWith("proxy-") ? "proxy" : "origin";
    return [{ name: `${file.slice(0, -4)}/${line.slice(0, tab)}`, form, bytes: Buffer.from(decode(line.slice(tab + 1)), "latin1") }];
  };
}

const ESCAPE = /\\\{(\d+):(.*?)\}|\\x([0-9a-f]{2})|\\(.)|([¶†§])/g;
const LETTERS: Readonly<Record<string, string>> = { r: "\r", n: "\n", t: "\t", "0": "\0", "\\": "\\" };
const SIGNS: Readonly<Record<string, string>> = { "¶": "\r\n", "†": HOST, "§": NEXT };

function decode(text: string): string {
  return text.replace(ESCAPE, (all, times?: string, repeated?: string, hex?: string, letter?: string, sign?: string) => {
    if (times !== undefined && repeated !== undefined) return decode(repeated).repeat(Number(times));
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    const meant = letter === undefined ? SIGNS[sign ?? ""] : LETTERS[letter];
    if (meant === undefined) throw new Error(`unknown escape '${all}' in the corpus`);
    return meant;
  });
}
