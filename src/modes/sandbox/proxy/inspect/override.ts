import type { OriginRequest } from "../http1/origin-request.ts";
import type { Refusal } from "../http1/refused.ts";

/** Fields by which servers (Google's APIs, ASP.NET, Express and Rails with a switch) take a request for one of another method. */
export const METHOD_FIELDS: ReadonlySet<string> = new Set(["x-http-method-override", "x-http-method", "x-method-override"]);

/** Fields by which servers (IIS, Symfony and others behind a rewriting proxy) take a request for one of another path. */
export const PATH_FIELDS: ReadonlySet<string> = new Set(["x-original-url", "x-rewrite-url"]);

/** The refusal of a request that asks to be taken for another one than the one that rules decide on. */
export function overrides({
  method,
  path,
  query,
  fields,
}: Pick<OriginRequest, "method" | "path" | "query" | "fields">): Refusal | undefined {
  const target = query === undefined ? path : `${path}?${query}`;
  for (const { name, lower: spelled, value } of fields) {
    // What CGI made of names, and its heirs (WSGI, Rack, PHP) still do: dash and underscore are one.
    const lower = spelled.replaceAll("_", "-");
    if (METHOD_FIELDS.has(lower) && value.toUpperCase() !== method.toUpperCase()) {
      const reason = `${name} asks for another method than ${method}, which rules decide on: send that method`;
      return { status: 400, code: "method_override", reason };
    }
    if (PATH_FIELDS.has(lower) && value !== path && value !== target) {
      return {
        status: 400,
        code: "path_override",
        reason: `${name} asks for another path than the one that rules decide on: send that path`,
      };
    }
  }
  return undefined;
}
