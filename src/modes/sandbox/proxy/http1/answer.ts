import type { Answer } from "../inspect/ruling.ts";
import { statusText } from "./status-text.ts";

/** The answer as HTTP/1.1; `closing`: the connection ends behind it. */
export function answerBytes({ status, fields, body }: Answer, method: string | undefined, closing: boolean): Buffer {
  let head = `HTTP/1.1 ${status} ${statusText(status)}\r\n`;
  for (const field of fields) head += `${field.name}: ${field.value}\r\n`;
  head += `Content-Length: ${body.length}\r\n${closing ? "Connection: close\r\n" : ""}\r\n`;
  return method === "HEAD" ? Buffer.from(head, "latin1") : Buffer.concat([Buffer.from(head, "latin1"), body]);
}
