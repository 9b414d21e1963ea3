/** A machine that slept, or whose clock was set: its sandboxes find their way back to the gateway. */
import { expect, test } from "bun:test";
import { Code } from "@connectrpc/connect";
import { createSandbox, FakeSupervisor, testGateway, until, workspaceScope } from "../../gateway.test-support.ts";

const HOUR = 3_600_000;

for (const [what, jump] of [
  ["ahead", 5 * HOUR],
  ["back", -5 * HOUR],
] as const) {
  test(`the clock goes ${what}: what the sandbox's file holds is good again, and a session goes on`, async () => {
    let offset = 0;
    await using gateway = await testGateway({}, undefined, undefined, { now: () => Date.now() + offset });
    const { id, name } = await createSandbox(gateway);
    const old = await gateway.token(id);
    const { instanceId } = await gateway.spec(id);
    const session = new FakeSupervisor(gateway.as({ bearer: old }), id, instanceId);
    await until(() => session.received.length > 0);
    const ask = (bearer: string) => gateway.as({ bearer }).getSandboxConfig({ workspaceScope, name });

    offset = jump;
    if (jump > 0) expect(await ask(old).catch(({ code }) => code)).toBe(Code.Unauthenticated);
    await until(async () => (await gateway.token(id)) !== old);
    expect((await ask(await gateway.token(id))).workspace).toBe("default");
    expect(gateway.gateway.context.sessions.get(id)).toBeDefined();
    session.disconnect();
    await session.ended;
  }, 60_000);
}
