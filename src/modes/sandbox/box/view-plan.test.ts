import { afterAll, beforeAll, expect, test } from "bun:test";
import { lstatSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { defaultFilesystem } from "./box-fixture.ts";
import type { BoxSpec } from "./contract.ts";
import { shownBundles, TRUST_BUNDLE } from "./view-layout.ts";
import { planView, type ViewPlan } from "./view-plan.ts";

/** A tree of the host to make policies about; not below /tmp, which a policy cannot mean. */
let host: string;
beforeAll(() => {
  host = mkdtempSync("/var/tmp/openshell-plan-");
  for (const name of ["workspace", "data/inner", "other"]) mkdirSync(join(host, name), { recursive: true });
  writeFileSync(join(host, "file"), "");
  symlinkSync(join(host, "other"), join(host, "link"));
  symlinkSync("/etc", join(host, "data/planted"));
});
afterAll(() => rmSync(host, { recursive: true }));

function plan(readOnly: string[], readWrite: string[] = [], overrides: Partial<BoxSpec> = {}): ViewPlan {
  return planView({
    sandboxName: "plan",
    filesystem: { includeWorkdir: false, readOnly, readWrite },
    landlock: "best_effort",
    uid: 1000,
    gid: 1000,
    workspace: join(host, "workspace"),
    runDirectory: host,
    mounts: [],
    ...overrides,
  });
}
const targets = (view: ViewPlan) => view.steps.map((step) => `${step.kind} ${step.target}`);
const granted = (view: ViewPlan) => Object.fromEntries(view.landlock.map((rule) => [rule.path, rule.access]));

test("the default policy shows the system, the workspace and scratch directories, links as links", () => {
  const view = plan(defaultFilesystem.readOnly, defaultFilesystem.readWrite);
  expect(targets(view)).toEqual(
    expect.arrayContaining(["bind /usr", "bind /opt", "bind /sandbox", "scratch /tmp", "scratch /run", "scratch /var/log"]),
  );
  for (const name of ["/bin", "/lib", "/sbin"]) {
    expect(targets(view)).toContain(`${lstatSync(name).isSymbolicLink() ? "symlink" : "bind"} ${name}`);
  }
  expect(targets(view).filter((step) => /\/(home|root|etc|proc|dev|srv|var)$/.test(step))).toEqual([]);
  expect(targets(view).filter((step) => step.startsWith("bind /usr/"))).toEqual([]);
  expect(granted(view)).toMatchObject({ "/usr": "read", "/etc": "read", "/proc": "read", "/tmp": "write", "/sandbox": "write" });
  expect(view.missing).toEqual([]);
});

test("parents come before what is mounted below them", () => {
  const view = plan(["/usr", "/var", join(host, "data/inner")], [join(host, "data")]);
  const order = targets(view);
  expect(order.indexOf("bind /var")).toBeLessThan(order.indexOf("scratch /var/log"));
  expect(order.indexOf(`bind ${host}/data`)).toBeLessThan(order.indexOf(`bind ${host}/data/inner`));
});

test("a writable /proc is never granted", () => {
  expect(granted(plan(["/usr"], ["/proc", "/proc/sys"]))).toMatchObject({ "/proc": "read", "/proc/sys": "read" });
});

test("a read-only link shows its target at both places", () => {
  const view = plan([join(host, "link")]);
  expect(view.steps).toContainEqual({ kind: "symlink", target: join(host, "link"), to: join(host, "other") });
  expect(targets(view)).toContain(`bind ${join(host, "other")}`);
});

test("threat-21: where paths were permitted earlier, no link is followed, the host's programs excepted", () => {
  const link = { source: join(host, "link"), target: "/data", readWrite: false };
  expect(plan([], [], { mounts: [link] }).steps).toContainEqual(expect.objectContaining({ target: "/data", source: join(host, "other") }));
  expect(() => plan([], [], { mounts: [link], refuseLinks: true })).toThrow("symbolic link");
  expect(() => plan([], [], { mounts: [{ ...link, source: join(host, "data/planted/ssl") }], refuseLinks: true })).toThrow("symbolic link");
  expect(() => plan([join(host, "link")], [], { refuseLinks: true })).toThrow("symbolic link");
  expect(targets(plan(["/usr", "/lib", join(host, "other")], [], { refuseLinks: true }))).toContain(`bind ${join(host, "other")}`);
});

test("threat-21: what the agent could have replaced by a link is refused", () => {
  expect(() => plan([], [join(host, "link")])).toThrow("symbolic link");
  expect(() => plan([join(host, "data/planted/ssl")], [join(host, "data")])).toThrow("symbolic link");
  expect(() => plan([], [join(host, "data"), join(host, "data/planted")])).toThrow("symbolic link");
  expect(() => plan([], [], { mounts: [{ source: join(host, "link"), target: "/data", readWrite: true }] })).toThrow("symbolic link");
});

test("paths of the view's own are never the host's", () => {
  const view = plan(["/etc/ssh", "/run/systemd", "/dev/vda"], ["/var/log/app", "/tmp/cache"]);
  expect(targets(view).filter((step) => step.startsWith("bind"))).toEqual(["bind /sandbox"]);
  expect(view.steps).toContainEqual({ kind: "directory", target: "/var/log/app", agentOwned: true });
});

test("the whole host, a missing source and a replaced /proc are refused", () => {
  expect(() => plan(["/"])).toThrow("whole host");
  expect(() => plan([], [], { mounts: [{ source: "/no/such", target: "/data", readWrite: false }] })).toThrow("does not exist");
  expect(() => plan([], [], { mounts: [{ source: host, target: "/proc/sys", readWrite: false }] })).toThrow("cannot replace");
  expect(() => plan([], [], { workspace: join(host, "file") })).toThrow("not a directory");
});

test("a Unix socket listed in a policy counts as missing", () => {
  using server = Bun.listen({ unix: join(host, "engine.sock"), socket: { data() {} } });
  expect(plan([join(host, "engine.sock")]).missing).toEqual([join(host, "engine.sock")]);
  expect(server).toBeDefined();
});

test("the system's bundle is the one of the sandbox, unless somebody mounts something there", () => {
  const [system = ""] = shownBundles();
  expect(system).toMatch(/^\/etc\//);
  const tlsDirectory = join(host, "tls");
  mkdirSync(tlsDirectory);
  expect(targets(plan(["/usr"], [], { tlsDirectory }))).not.toContain(`bind ${system}`);
  writeFileSync(join(tlsDirectory, TRUST_BUNDLE), "");
  const over = plan(["/usr"], [], { tlsDirectory }).steps.find(({ target }) => target === system);
  expect(over).toMatchObject({ kind: "bind", source: join(tlsDirectory, TRUST_BUNDLE), readWrite: false, directory: false });
  for (const target of [system, dirname(system)]) {
    const source = target === system ? join(host, "file") : join(host, "other");
    const view = plan(["/usr"], [], { tlsDirectory, mounts: [{ source, target, readWrite: false }] });
    expect(view.steps.filter((step) => step.target === system).every((step) => step.kind === "bind" && step.source === source)).toBe(true);
  }
});
