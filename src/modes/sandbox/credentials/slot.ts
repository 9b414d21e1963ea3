/** Where in a request a credential may stand. Anywhere else its placeholder is refused. */
export type Slot = HeaderSlot | QuerySlot | PathSlot | SigningSlot;

/** The whole value of a header field, or what follows a scheme in it. */
export interface HeaderSlot {
  readonly kind: "header";
  /** Lower case. */
  readonly name: string;
  /**
   * Lower-case schemes that may stand before the placeholder, with one blank; "" is a value without scheme. `basic` means inside the
   * base64 text of `Basic`, as user or password or part of them.
   */
  readonly schemes: readonly string[];
}

/** The whole value of a query parameter. */
export interface QuerySlot {
  readonly kind: "query";
  /** Exact, decoded. */
  readonly name: string;
}

/**
 * Part of a path: `/bot{credential}/**`. `{credential}` stands for the placeholder, `*` for the rest of a segment, `**` as the last segment
 * for any number of them (also none).
 */
export interface PathSlot {
  readonly kind: "path";
  readonly template: string;
}

/** Part of what AWS Signature Version 4 is made with: the request is signed again here. */
export interface SigningSlot {
  readonly kind: "sigv4";
  readonly part: "access_key_id" | "secret_access_key" | "session_token";
}

/** How tools send a token in `Authorization`: API clients as bearer, `gh` as token, git inside Basic. */
export const TOKEN_SCHEMES: readonly string[] = ["bearer", "token", "basic"];

/** For a credential whose provider declares no slot: the fields that exist for nothing but credentials. */
export const DEFAULT_SLOTS: readonly Slot[] = [
  { kind: "header", name: "authorization", schemes: ["", ...TOKEN_SCHEMES] },
  ...["x-api-key", "api-key", "x-goog-api-key", "private-token"].map((name): Slot => ({ kind: "header", name, schemes: [""] })),
];

/** How a provider's profile says where a credential goes; the names are those of `ProviderProfileCredential`. */
export interface DeclaredSlot {
  /** `bearer`, `basic`, `header`, `query`, `path`, or empty. */
  readonly authStyle: string;
  readonly headerName: string;
  readonly queryParam: string;
  readonly pathTemplate: string;
}

/** AWS variables have a meaning of their own: none of them is ever sent as it is. */
const SIGNING: Readonly<Record<string, SigningSlot["part"]>> = {
  AWS_ACCESS_KEY_ID: "access_key_id",
  AWS_SECRET_ACCESS_KEY: "secret_access_key",
  AWS_SESSION_TOKEN: "session_token",
};

/**
 * The slots of one credential, from what its provider's profile declares and the name of its variable. Undeclared: the usual fields for
 * credentials, `DEFAULT_SLOTS`. An unknown style has none, so that its placeholder is refused everywhere.
 */
export function slotsOf(key: string, declared?: DeclaredSlot): readonly Slot[] {
  const part = SIGNING[key];
  if (part !== undefined) return [{ kind: "sigv4", part }];
  if (declared === undefined) return DEFAULT_SLOTS;
  const { authStyle, headerName, queryParam, pathTemplate } = declared;
  const name = headerName.toLowerCase();
  switch (authStyle.trim().toLowerCase()) {
    case "":
      return name === "" && queryParam === "" && pathTemplate === "" ? DEFAULT_SLOTS : named(name, queryParam, pathTemplate);
    case "bearer":
      return [{ kind: "header", name: name || "authorization", schemes: TOKEN_SCHEMES }];
    case "basic":
      return [{ kind: "header", name: name || "authorization", schemes: ["basic"] }];
    case "header":
    case "query":
    case "path":
      return named(name, queryParam, pathTemplate);
    default:
      return [];
  }
}

function named(header: string, query: string, template: string): readonly Slot[] {
  const slots: Slot[] = [];
  if (header !== "") slots.push({ kind: "header", name: header, schemes: header === "authorization" ? ["", ...TOKEN_SCHEMES] : [""] });
  if (query !== "") slots.push({ kind: "query", name: query });
  if (template !== "") slots.push({ kind: "path", template });
  return slots;
}
