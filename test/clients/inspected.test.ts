/**
 * Real programs whose requests are decided one by one inside TLS, each allowed and denied: through the explicit proxy, with the sandbox's
 * variables and no argument about a proxy or a certificate.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HTTP2_PORT } from "../internet/topology.ts";
import { Inside, installed, missingFor, pathOf } from "./inside.ts";
import { GIT_IDENTITY, servePackage, serveRepository, serveWheel } from "./served.ts";

const curl = installed("curl", "/usr/bin/curl");
const wget = installed("wget", "/usr/bin/wget");
const python = installed("Python", "/usr/bin/python3");
const pip = installed("pip", "/usr/lib/python3/dist-packages/pip/__init__.py", "/usr/bin/pip3");
const requests = installed("Python's requests", "/usr/lib/python3/dist-packages/requests/__init__.py");
const httpx = installed("Python's httpx", "/usr/lib/python3/dist-packages/httpx/__init__.py");
const node = installed("Node.js", "/usr/bin/node", "/usr/local/bin/node");
const npm = installed("npm", "/usr/lib/node_modules/npm/bin/npm-cli.js", "/usr/share/nodejs/npm/bin/npm-cli.js");
const git = installed("git", "/usr/bin/git");
const gitHttp = installed("git's HTTP transport", "/usr/lib/git-core/git-remote-https", "/usr/libexec/git-core/git-remote-https");
const gitServer = installed("git's HTTP server", "/usr/lib/git-core/git-http-backend", "/usr/libexec/git-core/git-http-backend");
const gh = installed("gh", "/usr/bin/gh");
const aws = installed("aws", "/usr/bin/aws");
const cargo = installed("cargo", "/usr/bin/cargo", join(rustDirectory(), "bin/cargo"));

/** Not in any distribution: where it is not on PATH, OPENSHELL_TEST_DENO names it. */
const deno = installed("Deno", ...[process.env["OPENSHELL_TEST_DENO"], Bun.which("deno")].filter((path) => path != null));

const READ_ONLY = "protocol: rest, access: read-only, enforcement: enforce";
/** The runtime of this test, as a program of its own inside. */
const BUN = "/programs/bun";
const DENO = "/programs/deno";
const UNDICI = join(import.meta.dir, "../../node_modules/undici");

const URLLIB = `
import sys, urllib.request
request = urllib.request.Request(sys.argv[2], method=sys.argv[1], data=b"x" if sys.argv[1] == "POST" else None)
sys.stdout.write(urllib.request.urlopen(request, timeout=20).read().decode())`;
const pythonLibrary = (library: string) => `
import sys, ${library}
answer = ${library}.request(sys.argv[1], sys.argv[2], timeout=20)
answer.raise_for_status()
sys.stdout.write(answer.text)`;
const FETCH = `
const [method, url] = process.argv.slice(-2);
fetch(url, { method }).then(async (answer) => {
  process.stdout.write(await answer.text());
  process.exitCode = answer.ok ? 0 : 22;
}, (error) => { console.error(error); process.exitCode = 7; });`;
const UNDICI_FETCH = `
const { EnvHttpProxyAgent, setGlobalDispatcher, fetch } = require("/programs/undici");
setGlobalDispatcher(new EnvHttpProxyAgent());${FETCH}`;

/** Runs something whose request must be refused: it fails, and no server sees a connection. The host's name may be asked for: it is allowed. */
async function refused(inside: Inside, argv: readonly string[]): Promise<string> {
  const seen = async () => {
    const { connections, requests, packets } = await inside.net.seenWhenQuiet();
    return { connections: connections.length, requests: requests.length, packets: packets.tcp };
  };
  const before = await seen();
  const { exitCode, stdout, stderr } = await inside.run(argv);
  expect({ refused: exitCode !== 0, output: exitCode === 0 ? stdout : "" }).toEqual({ refused: true, output: "" });
  expect(await seen()).toEqual(before);
  return stderr;
}

/** Where Rust's own installer keeps what `cargo` starts; empty without it. */
function rustDirectory(): string {
  if (Bun.which("rustc") === null) return "";
  return Bun.spawnSync(["rustc", "--print", "sysroot"], { stderr: "ignore" }).stdout.toString().trim();
}

interface Client {
  readonly name: string;
  readonly needs: readonly ReturnType<typeof installed>[];
  /** The executable that connects. */
  readonly binary: () => string;
  readonly ask: (method: "GET" | "POST", url: string) => readonly string[];
  readonly flags?: readonly string[] | (() => readonly string[]);
  readonly host?: string;
}

const clients: readonly Client[] = [
  {
    name: "curl with HTTP/1.1",
    needs: [curl],
    binary: () => pathOf(curl),
    ask: (method, url) => ["curl", "-sS", "--http1.1", "--fail", "-X", method, url],
  },
  {
    name: "curl with HTTP/2",
    needs: [curl],
    binary: () => pathOf(curl),
    ask: (method, url) => ["curl", "-sS", "--http2", "--fail", "-X", method, url],
    host: `h2.example.com:${HTTP2_PORT}`,
  },
  {
    name: "wget",
    needs: [wget],
    binary: () => pathOf(wget),
    // The one that no variable tells whom to trust: GnuTLS reads the system's bundle.
    ask: (method, url) => ["wget", "-q", "-O-", "--tries=1", ...(method === "POST" ? ["--post-data=x"] : []), url],
  },
  {
    name: "Python's urllib",
    needs: [python],
    binary: () => pathOf(python),
    ask: (method, url) => ["/usr/bin/python3", "-c", URLLIB, method, url],
  },
  ...[
    { library: "requests", found: requests },
    { library: "httpx", found: httpx },
  ].map(({ library, found }) => ({
    name: `Python's ${library}`,
    needs: [python, found],
    binary: () => pathOf(python),
    ask: (method: string, url: string) => ["/usr/bin/python3", "-c", pythonLibrary(library), method, url],
  })),
  {
    // Before version 24 it knows no proxy variables: its connection is taken where it leads, and decided alike.
    name: "Node's fetch",
    needs: [node],
    binary: () => pathOf(node),
    ask: (method, url) => [pathOf(node), "-e", FETCH, method, url],
  },
  {
    name: "undici",
    needs: [node],
    binary: () => pathOf(node),
    ask: (method, url) => [pathOf(node), "-e", UNDICI_FETCH, method, url],
    flags: ["--mount", `${UNDICI}:/programs/undici`],
  },
  {
    name: "Bun's fetch",
    needs: [],
    binary: () => BUN,
    ask: (method, url) => [BUN, "-e", FETCH, method, url],
    flags: ["--mount", `${realpathSync(process.execPath)}:${BUN}`],
  },
  {
    name: "Deno's fetch",
    needs: [deno],
    binary: () => DENO,
    ask: (method, url) => [DENO, "eval", FETCH, method, url],
    flags: () => ["--mount", `${pathOf(deno)}:${DENO}`],
  },
  {
    name: "gh",
    needs: [gh],
    binary: () => pathOf(gh),
    ask: (method, url) => ["gh", "api", "--method", method, new URL(url).pathname.replace(/^\/api\/v3/, "")],
    flags: ["--env", "GH_HOST=api.example.com", "--env", "GH_ENTERPRISE_TOKEN=a-token"],
  },
  {
    name: "aws",
    needs: [aws],
    binary: () => realpathSync("/usr/bin/python3"),
    ask: (method, url) => {
      const { origin, pathname } = new URL(url);
      const [, bucket = "", ...key] = pathname.split("/");
      const words = `--no-sign-request --region us-east-1 --endpoint-url ${origin} s3api`;
      const object = `--bucket ${bucket} --key ${key.join("/")}`;
      const get = `aws ${words} get-object ${object} body >&2 && cat body`;
      return ["/bin/sh", "-c", method === "GET" ? get : `aws ${words} create-multipart-upload ${object}`];
    },
    flags: ["--env", "AWS_MAX_ATTEMPTS=1"],
  },
];

for (const { name, needs, binary, ask, flags = [], host = "api.example.com:443" } of clients) {
  const missing = missingFor(`${name} through inspection`, ...needs);
  describe.skipIf(missing !== undefined)(name, () => {
    let inside: Inside;
    beforeAll(async () => {
      inside = await Inside.open(
        [{ binaries: [binary()], endpoints: [host], requests: READ_ONLY }],
        typeof flags === "function" ? flags() : flags,
      );
    });
    afterAll(() => inside?.[Symbol.asyncDispose]());
    const url = `https://${host.replace(/:443$/, "")}/api/v3/hello`;

    test("case-60: an allowed request is answered, by the variables of the sandbox alone", async () => {
      const { exitCode, stdout, stderr } = await inside.run(ask("GET", url));
      expect({ exitCode, errors: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, errors: "" });
      expect(stdout).toContain('"/api/v3/hello"');
      expect(stderr).toMatch(/HTTP:GET .*ALLOWED .*\/api\/v3\/hello/);
    });

    test("case-61: a denied request is refused, and the server never sees it", async () => {
      expect(await refused(inside, ask("POST", url))).toMatch(/HTTP:POST .*DENIED .*\/api\/v3\/hello/);
    });
  });
}

const noGit = missingFor("git through inspection", git, gitHttp, gitServer);
describe.skipIf(noGit !== undefined)("git", () => {
  let inside: Inside;
  beforeAll(async () => {
    const allow = (rule: string) => `{ allow: { ${rule} } }`;
    const rules = [
      allow('method: GET, path: "/**/info/refs", query: { service: git-upload-pack }'),
      allow('method: POST, path: "/**/git-upload-pack"'),
    ];
    inside = await Inside.open(
      [
        {
          binaries: [pathOf(git)],
          endpoints: ["git.example.com:443"],
          requests: `protocol: rest, enforcement: enforce, rules: [${rules.join(", ")}]`,
        },
      ],
      GIT_IDENTITY,
    );
    serveRepository(inside);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());

  test("clone and fetch pass, a push is refused before the server hears of it", async () => {
    const { exitCode, stdout, stderr } = await inside.script(
      `git clone -q https://git.example.com/project.git work; cd work; cat file; git fetch -q; echo two > file; git commit -qam second
       if git push -q origin main; then echo pushed; else echo "not pushed"; fi; git fetch -q; git rev-list --count origin/main`,
    );
    expect({ exitCode, errors: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, errors: "" });
    expect(stdout).toBe("one\nnot pushed\n1\n");
    expect(stderr).toMatch(/The requested URL returned error: 403/);
    expect(stderr).toMatch(/HTTP:GET .*DENIED .*info\/refs/);
    const paths = (await inside.net.seenWhenQuiet()).requests.map(({ path }) => path);
    expect(paths).toContain("/project.git/git-upload-pack");
    expect(paths.filter((path) => path.includes("receive-pack"))).toEqual([]);
  });
});

const noPip = missingFor("pip through inspection", python, pip);
describe.skipIf(noPip !== undefined)("pip", () => {
  let inside: Inside;
  beforeAll(async () => {
    const requests = 'protocol: rest, enforcement: enforce, rules: [{ allow: { method: GET, path: "/simple/demo-wheel/**" } }]';
    inside = await Inside.open([{ binaries: [pathOf(python)], endpoints: ["pypi.example.com:443"], requests }]);
    serveWheel(inside);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());
  const install = (name: string) =>
    `/usr/bin/python3 -m pip install -q --no-cache-dir --disable-pip-version-check --retries 0 --target /sandbox/lib --index-url https://pypi.example.com/simple ${name}`;

  test("an allowed package is installed, another one of the same index is not", async () => {
    const { exitCode, stdout, stderr } = await inside.script(
      `${install("demo-wheel")}; PYTHONPATH=/sandbox/lib /usr/bin/python3 -c 'import demo_wheel; print(demo_wheel.answer)'`,
    );
    expect({ exitCode, errors: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, errors: "" });
    expect(stdout).toBe("42\n");
    expect(await refused(inside, ["/bin/sh", "-c", install("other-wheel")])).toMatch(/HTTP:GET .*DENIED .*\/simple\/other-wheel/);
  });
});

const noNpm = missingFor("npm through inspection", node, npm);
describe.skipIf(noNpm !== undefined)("npm", () => {
  let inside: Inside;
  beforeAll(async () => {
    const paths = ["/demo-package", "/demo-package/**"].map((path) => `{ allow: { method: GET, path: "${path}" } }`);
    const requests = `protocol: rest, enforcement: enforce, rules: [${paths.join(", ")}]`;
    inside = await Inside.open([{ binaries: [pathOf(node)], endpoints: ["npm.example.com:443"], requests }]);
    servePackage(inside);
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());
  const run = (words: string) =>
    `mkdir -p app; cd app; ${pathOf(node)} ${pathOf(npm)} ${words} --no-audit --no-fund --no-update-notifier --fetch-retries 0 --loglevel error --registry https://npm.example.com/`;

  test("an allowed package is installed, another one of the same registry is not, and nothing is published", async () => {
    const { exitCode, stdout, stderr } = await inside.script(
      `${run("install demo-package")} >&2; ${pathOf(node)} -p 'require("demo-package")'`,
    );
    expect({ exitCode, errors: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, errors: "" });
    expect(stdout).toBe("42\n");
    expect(await refused(inside, ["/bin/sh", "-ec", run("install other-package")])).toMatch(/HTTP:GET .*DENIED .*\/other-package/);
    const manifest = `'{"name":"mine","version":"1.0.0"}'`;
    const publish = `mkdir -p app; echo ${manifest} > app/package.json; ${run("publish --//npm.example.com/:_authToken=a-token")}`;
    expect(await refused(inside, ["/bin/sh", "-ec", publish])).toMatch(/HTTP:(GET|PUT) .*DENIED .*\/mine/);
  });
});

const noCargo = missingFor("cargo through inspection", cargo);
describe.skipIf(noCargo !== undefined)("cargo", () => {
  const CARGO = "/programs/cargo";
  let inside: Inside;
  beforeAll(async () => {
    const paths = ["/config.json", "/api/v1/crates"].map((path) => `{ allow: { method: GET, path: "${path}" } }`);
    const requests = `protocol: rest, enforcement: enforce, rules: [${paths.join(", ")}]`;
    inside = await Inside.open(
      [{ binaries: [CARGO], endpoints: ["npm.example.com:443"], requests }],
      ["--mount", `${pathOf(cargo)}:${CARGO}`, "--env", "CARGO_HOME=/sandbox/cargo", "--env", "CARGO_NET_RETRY=0"],
    );
    // A registry is an index of files, whatever its packages are.
    mkdirSync(inside.place("npm/api/v1"), { recursive: true });
    writeFileSync(inside.place("npm/config.json"), JSON.stringify({ dl: "https://npm.example.com/dl", api: "https://npm.example.com" }));
    const crate = { name: "demo-crate", max_version: "1.0.0", description: "found" };
    writeFileSync(inside.place("npm/api/v1/crates.json"), JSON.stringify({ crates: [crate], meta: { total: 1 } }));
  });
  afterAll(() => inside?.[Symbol.asyncDispose]());
  const index = "--index sparse+https://npm.example.com/";

  test("an allowed registry is searched; taking a package back is refused", async () => {
    const { exitCode, stdout, stderr } = await inside.run([CARGO, "search", "demo", ...index.split(" ")]);
    expect({ exitCode, errors: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, errors: "" });
    expect(stdout).toContain("demo-crate");
    const yank = [CARGO, "yank", "demo-crate@1.0.0", "--token", "a-token", ...index.split(" ")];
    const before = (await inside.net.seenWhenQuiet()).requests.length;
    const yanked = await inside.run(yank);
    expect({ exitCode: yanked.exitCode === 0, denied: yanked.stderr }).toEqual({
      exitCode: false,
      denied: expect.stringMatching(/HTTP:DELETE .*DENIED .*\/yank/),
    });
    const { requests } = await inside.net.seenWhenQuiet();
    expect(requests.slice(before).map(({ method, path }) => `${method} ${path}`)).toEqual(["GET /config.json"]);
  });
});
