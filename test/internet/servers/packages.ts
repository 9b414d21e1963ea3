/** Package indexes: directories of files, as a registry's answers lie on disk. `<path>/index` answers for `<path>` itself. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, normalize } from "node:path";
import type { Site } from "./sites.ts";

const TYPES: readonly [RegExp, string][] = [
  [/\.html$/, "text/html"],
  [/\.json$/, "application/json"],
];

export function indexSite(root: string): Site {
  return (request, _body, response) => {
    const path = join(root, normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname)));
    const candidates = [path, `${path.replace(/\/$/, "")}.json`, join(path, "index.html")];
    const file = candidates.find((candidate) => existsSync(candidate) && statSync(candidate).isFile());
    if (file === undefined) {
      response.writeHead(404).end("not here\n");
      return;
    }
    const type = TYPES.find(([pattern]) => pattern.test(file))?.[1] ?? "application/octet-stream";
    const content = readFileSync(file);
    response.writeHead(200, { "content-type": type, "content-length": content.length }).end(content);
  };
}
