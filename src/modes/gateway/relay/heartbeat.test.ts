import { expect, test } from "bun:test";
import { createSandbox, FakeSupervisor, testGateway, until } from "../gateway.test-support.ts";

test("a supervisor's heartbeat is answered at once", async () => {
  await using gateway = await testGateway();
  const { id } = await createSandbox(gateway);
  const { instanceId } = await gateway.spec(id);
  const session = new FakeSupervisor(gateway.as({ bearer: await gateway.token(id) }), id, instanceId);
  const answers = () => session.received.filter(({ payload }) => payload.case === "heartbeat").length;
  await until(() => session.received.length > 0);
  expect(answers()).toBe(0);
  for (let beat = 1; beat <= 3; beat++) {
    session.send({ case: "heartbeat", value: {} });
    await until(() => answers() === beat);
  }
  session.disconnect();
  await session.ended;
}, 60_000);
