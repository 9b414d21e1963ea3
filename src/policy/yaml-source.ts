import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Range } from "yaml";
import type { Violation } from "../error.ts";
import { fieldPath, type Path } from "./field-path.ts";

/** 1-based place in the text. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A YAML text as plain data, with the place of every field. */
export interface YamlSource {
  readonly value: unknown;
  /** The place of a field, or of the nearest one around it. */
  locate(field: string): Position;
}

/** Aliases in one file; a file that shares more than these few lists is an attempt to expand. */
const MAX_ALIASES = 100;
/** Levels of nesting. The schema has 9; the rest is room for `params`. */
const MAX_DEPTH = 32;
/** Names that JavaScript objects give a meaning of their own: libraries drop them, and a rule dropped in silence could be a refusal. */
const RESERVED_KEYS = new Set(["__proto__", "prototype", "constructor"]);

/** Where the parser's own words would not help. */
const SYNTAX: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "the key appears twice in the same mapping",
  MULTIPLE_DOCS: "holds more than one YAML document",
  TAG_RESOLVE_FAILED: "tags (!…) are not accepted",
};

const syntaxMessage = (message: string) => (message.startsWith("Maximum call stack") ? "is nested too deeply" : message);

const START: Position = { line: 1, column: 1 };

/** Reads one YAML document. Returns violations when it is not plain data: syntax, duplicate keys, unknown tags, excessive aliases or depth. */
export function readYaml(text: string): YamlSource | Violation[] {
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      uniqueKeys: true,
      prettyErrors: false,
      version: "1.2",
      schema: "core",
      merge: false,
    });
    const [first, ...others] = [...document.errors, ...document.warnings];
    if (first !== undefined) {
      // After the first syntax error the rest is guesswork, except for duplicate keys.
      const problems = [first, ...others.filter(({ code }) => code === "DUPLICATE_KEY" && first.code === code)];
      return problems.map(({ code, message, pos }) => at("document", SYNTAX[code] ?? syntaxMessage(message), position(lines, pos[0])));
    }
    const places = new Map<string, Position>();
    const violations = [...walk(document, document.contents, [], places, lines)];
    if (violations.length > 0) return violations;
    return { value: document.toJS({ maxAliasCount: MAX_ALIASES }), locate: (field) => locate(places, field) };
  } catch (error) {
    // The parser throws on exhausted stacks (nesting) and on aliases that expand too much.
    const why =
      error instanceof RangeError
        ? "is nested too deeply"
        : error instanceof ReferenceError
          ? "uses too many or circular aliases"
          : "cannot be read as YAML";
    return [at("document", why, START)];
  }
}

function* walk(
  document: Document.Parsed,
  node: unknown,
  path: Path,
  places: Map<string, Position>,
  lines: LineCounter,
): Generator<Violation> {
  if (path.length > MAX_DEPTH) {
    yield at(fieldPath(path), `is nested more than ${MAX_DEPTH} levels deep`, positionOf(node, lines));
  } else if (isAlias(node)) {
    const target = node.resolve(document);
    // What an alias stands for is located at the alias; a target inside itself has no end.
    if (target === undefined || contains(target, node)) yield at(fieldPath(path), "refers to itself", positionOf(node, lines));
  } else if ((isMap(node) || isSeq(node) || isScalar(node)) && node.tag !== undefined) {
    yield at(fieldPath(path) || "document", "tags (!…) are not accepted", positionOf(node, lines));
  } else if (isMap(node)) {
    for (const { key, value } of node.items) {
      const place = positionOf(key, lines);
      if (!isScalar(key) || typeof key.value === "object") {
        yield at(fieldPath(path), "has a key that is not plain text", place);
        continue;
      }
      const field = [...path, String(key.value)];
      if (RESERVED_KEYS.has(String(key.value))) yield at(fieldPath(field), "is a reserved name", place);
      places.set(fieldPath(field), place);
      yield* walk(document, value, field, places, lines);
    }
  } else if (isSeq(node)) {
    for (const [i, item] of node.items.entries()) {
      places.set(fieldPath([...path, i]), positionOf(item, lines));
      yield* walk(document, item, [...path, i], places, lines);
    }
  }
}

function contains(outer: unknown, inner: unknown): boolean {
  if (outer === inner) return true;
  if (isMap(outer)) return outer.items.some(({ key, value }) => contains(key, inner) || contains(value, inner));
  return isSeq(outer) && outer.items.some((item) => contains(item, inner));
}

function positionOf(node: unknown, lines: LineCounter): Position {
  const range = (node as { range?: Range | null } | null)?.range;
  return range ? position(lines, range[0]) : START;
}

function position(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}

function locate(places: ReadonlyMap<string, Position>, field: string): Position {
  for (let rest = field; rest !== ""; rest = rest.replace(/(\.[^.[\]]*|\[[^[\]]*\]|^[^.[\]]*)$/, "")) {
    const place = places.get(rest) ?? (rest.endsWith(".port") ? places.get(`${rest}s[0]`) : undefined);
    if (place !== undefined) return place;
    if (!/[.[]/.test(rest)) break;
  }
  return START;
}

const at = (field: string, message: string, { line, column }: Position): Violation => ({ field, message, line, column });
