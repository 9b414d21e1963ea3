import type { OriginRequest } from "../http1/origin-request.ts";

/** RFC 9110 section 9.2.2: may be sent again on a new connection when a kept one turns out to be closed. */
const REPEATABLE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/** Whether it may be sent a second time, and nothing of it is gone. */
export function isRepeatable({ method, body }: OriginRequest): boolean {
  return body.kind === "none" && REPEATABLE.has(method);
}

/** With a body that is known whole there is nothing to wait for and nothing behind it. */
export function withBody(request: OriginRequest, length: number): OriginRequest {
  const fields = request.fields.filter(({ lower }) => lower !== "expect" && lower !== "trailer");
  return { ...request, fields, body: { kind: "length", length } };
}
