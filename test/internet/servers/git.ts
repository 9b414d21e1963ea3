/** Git's smart HTTP: the real server side, git-http-backend(1), as a CGI program. */
import type { Site } from "./sites.ts";

/** Repositories are the directories below `root`; everybody may read and push. */
export function gitSite(root: string): Site {
  return async (request, body, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const backend = Bun.spawn({
      cmd: ["git", "http-backend"],
      env: {
        PATH: process.env["PATH"] ?? "/usr/bin:/bin",
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: "1",
        // The repositories belong to the user of the test, not to whoever asks.
        GIT_CONFIG_COUNT: "2",
        GIT_CONFIG_KEY_0: "safe.directory",
        GIT_CONFIG_VALUE_0: "*",
        GIT_CONFIG_KEY_1: "http.receivepack",
        GIT_CONFIG_VALUE_1: "true",
        REQUEST_METHOD: request.method ?? "GET",
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        CONTENT_TYPE: request.headers["content-type"] ?? "",
        CONTENT_LENGTH: String(body.length),
        HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
        GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
        REMOTE_USER: "somebody",
      },
      stdin: body,
      stdout: "pipe",
      stderr: "ignore",
    });
    const output = Buffer.from(await new Response(backend.stdout).arrayBuffer());
    const end = output.indexOf("\r\n\r\n");
    const head = output.subarray(0, Math.max(end, 0)).toString("latin1").split("\r\n");
    let status = 200;
    for (const line of head) {
      const [name = "", value = ""] = [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()];
      if (name.toLowerCase() === "status") status = Number.parseInt(value, 10);
      else if (name !== "") response.setHeader(name, value);
    }
    response.writeHead(end < 0 ? 500 : status);
    response.end(output.subarray(end + 4));
  };
}
