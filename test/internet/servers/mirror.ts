/** A server that sends back all that it was sent, everywhere that an answer has room, and writes down what that was. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import type { Site } from "./sites.ts";

/** One line of `mirror.jsonl`. */
export interface Mirrored {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export function mirrorSite(directory: string): Site {
  return (request, body, response) => {
    const { method = "", url = "", headers } = request;
    const seen = { method, url, headers, body: body.toString() };
    appendFileSync(join(directory, "mirror.jsonl"), `${JSON.stringify(seen)}\n`);
    const credential = [headers.authorization, headers["x-api-key"], ...[new URL(url, "http://a").searchParams.get("key")]].join("");
    const decoded = /basic (\S+)/i.exec(credential)?.[1];
    const secret = decoded === undefined ? credential : Buffer.from(decoded, "base64").toString();
    response.setHeader("Link", `<https://mirror.example.com${url}>; rel="self"; token="${secret}"`);
    response.setHeader("X-Encoded", [
      encodeURIComponent(secret),
      Buffer.from(secret).toString("base64"),
      Buffer.from(secret).toString("hex"),
    ]);
    response.setHeader("X-Front", secret.slice(0, secret.length / 2));
    response.setHeader("X-Rear", secret.slice(secret.length / 2));
    response.statusMessage = `OK ${secret}`;
    const text = JSON.stringify({ ...seen, encoded: Buffer.from(secret).toString("base64") });
    if (headers["accept-encoding"] !== undefined && headers["accept-encoding"] !== "identity")
      response.setHeader("X-Could", "have encoded");
    if (url.includes("chunked")) {
      response.setHeader("Trailer", "X-Trailer");
      // One byte each: whoever looks for something must remember.
      for (const byte of Buffer.from(text)) response.write(Buffer.from([byte]));
      response.addTrailers({ "X-Trailer": secret });
      response.end();
    } else if (url.includes("encoded")) {
      response.setHeader("Content-Encoding", "gzip");
      response.end(Bun.gzipSync(Buffer.from(text)));
    } else {
      response.end(text);
    }
  };
}

/** The site for whoever has this user name and password. */
export function guarded(site: Site, login: string): Site {
  return (request, body, response) => {
    if (request.headers.authorization === `Basic ${Buffer.from(login).toString("base64")}`) return site(request, body, response);
    response.writeHead(401, { "WWW-Authenticate": 'Basic realm="git"' }).end();
    return undefined;
  };
}
