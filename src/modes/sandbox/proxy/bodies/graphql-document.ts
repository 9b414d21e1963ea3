import {
  type FragmentDefinitionNode,
  Kind,
  Lexer,
  type OperationDefinitionNode,
  parse,
  type SelectionSetNode,
  Source,
  TokenKind,
} from "graphql/language";
import type { GraphqlFacts } from "../../../../engine/decision.ts";
import { BodyError } from "./unreadable.ts";

/** Tokens of one document; generated queries have a few thousand. */
export const MAX_GRAPHQL_TOKENS = 15_000;
/** Brackets inside each other. The introspection query has about 15; the parser is recursive. */
export const MAX_GRAPHQL_DEPTH = 100;
/** Operations of one request, over all documents of a batch; what the rules take at once. */
export const MAX_GRAPHQL_OPERATIONS = 256;

type Operation = Exclude<GraphqlFacts, { persisted: string }>;

/**
 * Every operation of a document with the names of its root fields, fragments expanded and aliases left out. `operationName` chooses nothing
 * here: each operation counts, and so does what `@skip` and `@include` may take away.
 * @throws BodyError
 */
export function readGraphqlDocument(text: string): readonly Operation[] {
  const fragments = new Map<string, FragmentDefinitionNode>();
  const operations: OperationDefinitionNode[] = [];
  for (const definition of parsed(text)) {
    if (definition.kind === Kind.OPERATION_DEFINITION) {
      operations.push(definition);
    } else if (definition.kind === Kind.FRAGMENT_DEFINITION) {
      if (fragments.has(definition.name.value)) throw invalid("a fragment is defined twice");
      fragments.set(definition.name.value, definition);
    } else {
      throw invalid("a definition is neither an operation nor a fragment");
    }
  }
  if (operations.length === 0) throw invalid("it has no operation");
  return operations.map(({ operation, name, selectionSet }) => ({
    type: operation,
    name: name?.value ?? "",
    fields: rootFields(selectionSet, fragments),
  }));
}

function parsed(text: string) {
  const source = new Source(text);
  try {
    limitTokens(new Lexer(source));
    return parse(source, { noLocation: true }).definitions;
  } catch (error) {
    if (error instanceof BodyError) throw error;
    // The library's message quotes the document.
    throw invalid("it does not follow the grammar");
  }
}

const OPENING: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_L, TokenKind.PAREN_L, TokenKind.BRACKET_L]);
const CLOSING: ReadonlySet<TokenKind> = new Set([TokenKind.BRACE_R, TokenKind.PAREN_R, TokenKind.BRACKET_R]);

function limitTokens(lexer: Lexer): void {
  let depth = 0;
  for (let count = 0; ; count++) {
    const { kind } = lexer.advance();
    if (kind === TokenKind.EOF) return;
    if (count >= MAX_GRAPHQL_TOKENS) throw tooMuch(`more than ${MAX_GRAPHQL_TOKENS} tokens`);
    if (OPENING.has(kind) && ++depth > MAX_GRAPHQL_DEPTH) throw tooMuch(`more than ${MAX_GRAPHQL_DEPTH} brackets inside each other`);
    if (CLOSING.has(kind)) depth--;
  }
}

/** Each fragment is looked at once, so that fragments of fragments of fragments cost no more than they are long. */
function rootFields(root: SelectionSetNode, fragments: ReadonlyMap<string, FragmentDefinitionNode>): string[] {
  const fields = new Set<string>();
  const seen = new Set<string>();
  const open = [root];
  for (let set = open.pop(); set !== undefined; set = open.pop()) {
    for (const selection of set.selections) {
      if (selection.kind === Kind.FIELD) fields.add(selection.name.value);
      else if (selection.kind === Kind.INLINE_FRAGMENT) open.push(selection.selectionSet);
      else if (!seen.has(selection.name.value)) {
        const fragment = fragments.get(selection.name.value);
        if (fragment === undefined) throw invalid("it spreads a fragment that it does not define");
        seen.add(selection.name.value);
        open.push(fragment.selectionSet);
      }
    }
  }
  if (fields.size === 0) throw invalid("an operation selects nothing");
  return [...fields];
}

function invalid(problem: string): BodyError {
  return new BodyError(400, "graphql_document", `the GraphQL document cannot be read: ${problem}`);
}

function tooMuch(problem: string): BodyError {
  return new BodyError(413, "graphql_document", `the GraphQL document is too large: ${problem}`);
}
