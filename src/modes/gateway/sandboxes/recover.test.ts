import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSandbox, testGateway, until } from "../gateway.test-support.ts";

test("a sandbox whose files cannot be read keeps no other from being taken over", async () => {
  const first = await testGateway();
  const [broken, whole] = [await createSandbox(first), await createSandbox(first)];
  const old = await first.token(whole.id);
  const record = join(first.directory, "state/sandboxes", broken.id, "supervisor.json");
  const { pid } = JSON.parse(readFileSync(record, "utf8")) as { pid: number };
  await first.gateway.close();
  process.kill(pid, "SIGKILL");
  await until(() => !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z "));
  rmSync(record);
  mkdirSync(record);
  const second = await testGateway({}, first.directory);
  try {
    expect(await second.token(whole.id)).not.toBe(old);
    expect(second.gateway.context.repository.all().map(({ id }) => id)).toContain(broken.id);
  } finally {
    rmSync(record, { recursive: true });
    for (const each of second.gateway.context.repository.all()) await second.gateway.context.sandboxes.delete(each);
    await second[Symbol.asyncDispose]();
    rmSync(first.directory, { recursive: true });
  }
});

test("a gateway starts although what nothing owns cannot be removed, and the record of what runs cannot be read", async () => {
  const first = await testGateway();
  const [running, whole] = [await createSandbox(first), await createSandbox(first)];
  const old = await first.token(whole.id);
  const root = join(first.directory, "state/sandboxes");
  const record = join(root, running.id, "supervisor.json");
  const { pid } = JSON.parse(readFileSync(record, "utf8")) as { pid: number };
  await first.gateway.close();
  rmSync(record);
  mkdirSync(record);
  // No directory: it can be read by nobody who looks for one.
  writeFileSync(join(root, "a-stray"), "");
  mkdirSync(join(root, "b-left/workspace"), { recursive: true });
  const second = await testGateway({}, first.directory);
  try {
    expect(existsSync(join(root, "b-left"))).toBe(false);
    expect(await second.token(whole.id)).not.toBe(old);
    // It may be the sandbox's own: whoever cannot know that does not end it.
    expect(existsSync(`/proc/${pid}`)).toBe(true);
  } finally {
    rmSync(record, { recursive: true });
    process.kill(pid, "SIGKILL");
    for (const each of second.gateway.context.repository.all()) await second.gateway.context.sandboxes.delete(each);
    await second[Symbol.asyncDispose]();
    rmSync(first.directory, { recursive: true });
  }
});
