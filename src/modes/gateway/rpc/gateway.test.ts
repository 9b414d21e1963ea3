import { expect, test } from "bun:test";
import { testGateway } from "../gateway.test-support.ts";

test("the driver says which limits it takes: those that a sandbox with one is not refused for", async () => {
  await using host = await testGateway();
  const { computeDrivers } = await host.user.getGatewayInfo({});
  expect(computeDrivers.map(({ name }) => name)).toEqual(["local"]);
  const told = computeDrivers[0]?.capabilities?.resourceCapabilities;
  for (const [limit, value, supported] of [
    ["cpu", "1", told?.cpu?.limitSupported],
    ["memory", "1Gi", told?.memory?.limitSupported],
  ] as const) {
    const admitted = () =>
      host.gateway.context.driver.admit({ spec: { template: { resources: { limits: { [limit]: value } } } } as never });
    if (supported) expect(admitted).not.toThrow();
    else expect(admitted).toThrow();
  }
  expect(told?.gpu?.countSelectionSupported).toBe(false);
});
