import type { OriginRequest } from "../http1/origin-request.ts";

/** Sixteen bytes in base64 (RFC 6455 section 4.1). */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

/** Why messages behind this upgrade could not be read: it is not RFC 6455, whose frames are the only ones that are. */
export function upgradeProblem({ fields, body }: OriginRequest): string | undefined {
  const values = (name: string) => fields.filter(({ lower }) => lower === name).map(({ value }) => value);
  if (values("sec-websocket-version").join() !== "13") return "Sec-WebSocket-Version is not 13";
  const [key = "", ...more] = values("sec-websocket-key");
  if (more.length > 0 || !KEY.test(key)) return "Sec-WebSocket-Key is not one value of 16 bytes";
  if (body.kind === "chunked" || (body.kind === "length" && body.length > 0)) return "the upgrade has a body";
  return undefined;
}

/** The upgrade without the offer to compress: what is compressed cannot be read. */
export function withoutExtensions(request: OriginRequest): OriginRequest {
  return { ...request, fields: request.fields.filter(({ lower }) => lower !== "sec-websocket-extensions") };
}
