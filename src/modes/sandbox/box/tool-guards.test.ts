/** A person's own tools find what the person configured, whatever a program did in the mounted directory. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { AGENT_UID, openTestBox, type TestBox } from "./box-fixture.ts";
import { guardTools } from "./tool-guards.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync("/var/tmp/openshell-guards-");
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Files with their own name as content; a name that ends with a slash is a directory. */
function plant(root: string, ...names: string[]): string {
  for (const name of names) {
    const path = join(root, name);
    mkdirSync(name.endsWith("/") ? path : dirname(path), { recursive: true });
    if (!name.endsWith("/")) writeFileSync(path, name);
  }
  return root;
}
const repository = (at: string) => ["HEAD", "config", "hooks/pre-commit", "objects/", "refs/heads/"].map((name) => `${at}${name}`);

describe("what is guarded", () => {
  const guarded = (root: string) => {
    const { steps, open } = guardTools(root, "/work");
    const names = (pinned: boolean) => steps.filter((step) => step.pinned === pinned).map((step) => step.target.slice("/work/".length));
    return { readOnly: names(false), pinned: names(true), open };
  };

  test("an empty directory and a file have nothing to guard, and nothing is made in them", () => {
    const root = plant(directory, "empty/", "file");
    expect(guarded(join(root, "empty"))).toEqual({ readOnly: [], pinned: [], open: [".envrc", ".vscode", ".git"] });
    expect(guarded(join(root, "file"))).toEqual({ readOnly: [], pinned: [], open: [] });
    expect(readdirSync(join(root, "empty"))).toEqual([]);
  });

  test("a repository with submodules, of which one is nested, and a further working tree", () => {
    const root = plant(
      join(directory, "whole"),
      ".envrc",
      ".vscode/tasks.json",
      ...repository(".git/"),
      ...repository(".git/modules/one/"),
      ...repository(".git/modules/group/two/"),
      ...repository(".git/modules/one/modules/inner/"),
      ".git/worktrees/tree/commondir",
      ".git/worktrees/tree/gitdir",
    );
    const { readOnly, pinned, open } = guarded(root);
    expect(readOnly).toEqual(
      [".envrc", ".vscode"].concat(
        ["", "modules/group/two/", "modules/one/", "modules/one/modules/inner/"].flatMap((at) => [`.git/${at}config`, `.git/${at}hooks`]),
        [".git/worktrees/tree/commondir", ".git/worktrees/tree/gitdir"],
      ),
    );
    const parents = readOnly.filter((name) => name.includes("/")).map(dirname);
    expect(parents.filter((parent) => !pinned.includes(parent))).toEqual([]);
    expect(open).toContain(".git/commondir");
    for (const pin of pinned) if (pin !== ".git") expect(pinned.slice(0, pinned.indexOf(pin))).toContain(dirname(pin));
  });

  test("a repository without a working tree, a .git that is a file, and links", () => {
    expect(guarded(plant(join(directory, "bare.git"), ...repository(""))).readOnly).toEqual(["config", "hooks"]);
    expect(guarded(plant(join(directory, "linked"), ".git")).readOnly).toEqual([".git"]);
    const links = plant(join(directory, "links"), "elsewhere/");
    symlinkSync("elsewhere", join(links, ".git"));
    symlinkSync("elsewhere", join(links, ".vscode"));
    const modules = plant(join(directory, "linked-modules"), ...repository(".git/"));
    symlinkSync("/etc", join(modules, ".git/modules"));
    expect(guarded(modules)).toMatchObject({ readOnly: [".git/config", ".git/hooks"], open: expect.arrayContaining([".git/modules"]) });
    expect(guarded(links)).toEqual({ readOnly: [], pinned: [], open: [".envrc", ".vscode", ".git"] });
  });
});

describe("threat-15 from inside", () => {
  let root: string;
  let count = 0;
  beforeEach(() => {
    count += 1;
    root = plant(
      join(directory, `person-${count}`),
      ".envrc",
      ".vscode/tasks.json",
      ...repository(".git/"),
      ...repository(".git/modules/sub/"),
      "source.txt",
    );
    // Belongs to an ordinary person who is not the agent.
    Bun.spawnSync(["chown", "-R", "4242:4242", root]);
  });
  const open = (mounts: { source: string; target: string; readWrite: boolean }[] = []): Promise<TestBox> =>
    openTestBox({ mounts: [{ source: root, target: "/work", readWrite: true }, ...mounts] });
  const guardedFiles = [".envrc", ".vscode/tasks.json", ".git/config", ".git/hooks/pre-commit", ".git/modules/sub/config"];
  const unchanged = () => {
    for (const name of guardedFiles) expect([name, readFileSync(join(root, name), "utf8")]).toEqual([name, name]);
  };

  test("they can be read, and neither written, removed, renamed, replaced nor linked; the rest of the directory can", async () => {
    await using agent = await open();
    for (const name of guardedFiles) {
      const attempts = [
        `echo evil > ${name}`,
        `echo evil >> ${name}`,
        `rm -f ${name}`,
        `mv ${name} moved`,
        `echo evil > new; mv -f new ${name}`,
        `ln ${name} second`,
        `chmod 777 ${name}`,
        `truncate -s 0 ${name}`,
      ];
      // One program for all of them: what each says, and how it ended.
      const script = attempts.map((attempt) => `(${attempt}) 2>&1; echo " = $?"`).join("\n");
      const answers = (await agent.sh(`cd /work\n${script}`)).stdout.split(/ = (\d+)\n/).slice(0, -1);
      for (const [index, attempt] of attempts.entries()) {
        const [why, code] = answers.slice(index * 2, index * 2 + 2);
        expect({ attempt, refused: code !== "0", why }).toEqual({
          attempt,
          refused: true,
          why: expect.stringMatching(/Read-only file system|Device or resource busy|Invalid cross-device link/),
        });
      }
      expect((await agent.sh(`cat /work/${name}`)).stdout).toBe(name);
    }
    unchanged();
    const rest =
      "cd /work; echo a > source.txt; echo b > .git/index.lock; mv .git/index.lock .git/index; mkdir .git/objects/aa; cat .git/index";
    expect(await agent.sh(rest)).toMatchObject({ code: 0, stdout: "b\n" });
    expect(statSync(join(root, ".git/index")).uid).toBe(4242);
  });

  test("no directory above them can be moved away, and nothing be added to hooks or .vscode", async () => {
    await using agent = await open();
    const attempts = [
      "mv .git old",
      "mv .git/modules old",
      "mv .git/modules/sub .git/modules/other",
      "mv .vscode old",
      "mv .git/hooks old",
      "rm -rf .git",
      "mv /work /old",
      "echo evil > .git/hooks/post-checkout",
      "ln -s /bin/sh .git/hooks/post-checkout",
      "echo evil > .vscode/settings.json",
      "mkdir fresh; mv -T fresh .git/hooks",
      "umount .git/config",
      "mount -o remount,rw,bind .git/config",
      "unshare -rm umount .git/config",
    ];
    const { stdout } = await agent.sh(`cd /work\n${attempts.map((attempt) => `(${attempt}) 2>/dev/null; echo $?`).join("\n")}`);
    const codes = stdout.trim().split("\n");
    expect(codes).toHaveLength(attempts.length);
    expect(attempts.filter((_, index) => codes[index] === "0")).toEqual([]);
    unchanged();
    expect(readdirSync(join(root, ".git/hooks"))).toEqual(["pre-commit"]);
    expect(readdirSync(join(root, ".vscode"))).toEqual(["tasks.json"]);
  });

  test("the box says what it guards and what it cannot", async () => {
    rmSync(join(root, ".envrc"));
    await using agent = await open();
    const row = agent.box.enforcement.find(({ feature }) => feature === "tool-configuration /work");
    expect(row?.detail).toMatch(/read-only: .*\.git\/config.*can make it: \.envrc/);
    // Nothing is put into the person's directory for the sake of a guard.
    expect(existsSync(join(root, ".envrc"))).toBe(false);
    expect(existsSync(join(root, ".git/commondir"))).toBe(false);
  });

  test("who mounts one of them writable gets it", async () => {
    await using agent = await open([{ source: join(root, ".vscode"), target: "/work/.vscode", readWrite: true }]);
    expect((await agent.sh("cd /work; echo x > .vscode/tasks.json; echo evil > .git/config")).code).not.toBe(0);
    expect(readFileSync(join(root, ".vscode/tasks.json"), "utf8")).toBe("x\n");
    expect(readFileSync(join(root, ".git/config"), "utf8")).toBe(".git/config");
  });

  test("a directory of the host that the policy makes writable is guarded as well", async () => {
    chownSync(root, AGENT_UID, AGENT_UID);
    Bun.spawnSync(["chown", "-R", String(AGENT_UID), root]);
    const filesystem = { includeWorkdir: true, readOnly: ["/usr"], readWrite: [root] };
    await using agent = await openTestBox({ filesystem });
    expect((await agent.sh(`cd ${root}; echo a > source.txt; echo evil > .git/config`)).stderr).toContain("Read-only file system");
    expect(readFileSync(join(root, "source.txt"), "utf8")).toBe("a\n");
    unchanged();
  });
});
