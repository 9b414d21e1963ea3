/** Questions whose programs have gone: their places among those that may be asked at once are free at once, however a program left. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Inside, installed, missingFor } from "../clients/inside.ts";
import { ModelServer, routesFile } from "./models.ts";

const python = installed("Python", "/usr/bin/python3");
const curl = installed("curl", "/usr/bin/curl");
const missing = missingFor("abandoned questions", python, curl);

/** Fewer than the questions that are abandoned in each way. The model is silent for minutes behind its first piece. */
const PLACES = 2;
const ABANDONED = 3;

/**
 * What a program that has left has sent is in the kernel before the next one connects, so its place is free within a few questions; a supervisor that
 * waits for a time of its own before it lets go (it did, for twelve seconds) refuses as many as this. The model holds all questions meanwhile.
 */
const TRIES = 20;

/** Asks until there is a place, reads the first piece and leaves, several times. */
const LEAVE = `
import os, socket, ssl, struct, sys
how = sys.argv[1]
body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}'
def ask():
    link = socket.create_connection(("10.200.0.1", 3128), timeout=60)
    port = b"80" if how.startswith("plain") else b"443"
    link.sendall(b"CONNECT inference.local:" + port + b" HTTP/1.1\\r\\nHost: inference.local\\r\\n\\r\\n")
    head = b""
    while b"\\r\\n\\r\\n" not in head: head += link.recv(1)
    if port == b"443": link = ssl.create_default_context().wrap_socket(link, server_hostname="inference.local")
    link.sendall(b"POST /v1/chat/completions HTTP/1.1\\r\\nHost: inference.local\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    answer = b""
    while b"first" not in answer and b" 429 " not in answer:
        piece = link.recv(65536)
        if not piece: break
        answer += piece
    return link if b"first" in answer else link.close()
for _ in range(${ABANDONED}):
    tries = 0
    while (link := ask()) is None:
        tries += 1
        if tries > ${TRIES}: sys.exit("no place")
    if how.endswith("notify"):
        link.setblocking(False)
        try: link.unwrap()
        except (ssl.SSLWantReadError, OSError): pass
    if how.endswith("reset"): link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(link.detach())
print(how)
`;
const WAYS = ["end", "reset", "notify", "plain end", "plain reset"];

describe.skipIf(missing !== undefined)("abandoned questions", () => {
  let inside: Inside;
  let model: ModelServer;
  let routes: string;
  beforeAll(async () => {
    inside = await Inside.open([{ binaries: ["/usr/bin/false"], endpoints: ["api.example.com:443"] }]);
    model = await ModelServer.start(inside.net);
    routes = routesFile(
      inside.net,
      `limits: { concurrent_requests: ${PLACES} }
routes:
  - { name: inference.local, endpoint: "${model.url}", model: real-model, protocols: [openai_chat_completions], api_key: sk-0123456789abcdef }
`,
    );
  });
  afterAll(async () => {
    await model?.[Symbol.asyncDispose]();
    await inside?.[Symbol.asyncDispose]();
  });

  test.each(WAYS)("a program that leaves by its socket's %s", async (way) => {
    const { stdout, stderr } = await inside.run(["/usr/bin/python3", "-c", LEAVE, way], ["--inference-routes", routes]);
    expect({ stdout, stderr: stdout === "" ? stderr : "" }).toEqual({ stdout: `${way}\n`, stderr: "" });
    expect(stderr.match(/the program went away/g)?.length).toBeGreaterThanOrEqual(ABANDONED - PLACES);
  });

  test.each(["--http1.1", "--http2"])("a program that is killed: %s", async (version) => {
    const ask = `rm -f answer; curl -sSN ${version} -o answer -d '{"stream":true}' https://inference.local/v1/chat/completions`;
    const { stdout } = await inside.script(
      `n=0; while [ $n -lt ${ABANDONED} ]; do n=$((n+1)); tries=0
         until ${ask} & asking=$!; until grep -qsE 'first|concurrent|under way' answer; do sleep 0.1; done; grep -qs first answer; do
           wait $asking; tries=$((tries+1)); [ $tries -lt ${TRIES} ] || { echo "no place"; exit; }; done
         kill -9 $asking; wait $asking || true; done; echo done`,
      ["--inference-routes", routes],
    );
    expect(stdout).toBe("done\n");
  });
});
