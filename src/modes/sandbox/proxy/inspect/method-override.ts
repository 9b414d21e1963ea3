import type { OriginRequest } from "../http1/origin-request.ts";
import type { Refusal } from "../http1/refused.ts";

/** Fields by which servers (Google's APIs, ASP.NET, Express and Rails with a switch) take a request for one of another method. */
const OVERRIDES: ReadonlySet<string> = new Set(["x-http-method-override", "x-http-method", "x-method-override"]);

/** The refusal of a request that asks to be taken for another method than the one that rules decide on. */
export function methodOverride({ method, fields }: Pick<OriginRequest, "method" | "fields">): Refusal | undefined {
  const field = fields.find(({ lower, value }) => OVERRIDES.has(lower) && value.toUpperCase() !== method.toUpperCase());
  if (field === undefined) return undefined;
  return {
    status: 400,
    code: "method_override",
    reason: `${field.name} asks for another method than ${method}, which rules decide on: send that method`,
  };
}
