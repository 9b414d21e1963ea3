/**
 * A gateway, in a process of its own, whose sandboxes are processes that sleep: for sessions that a load generator plays. Arguments: how many,
 * its directory, its port. Makes the sandboxes where the directory has none; prints one JSON line when it is ready. With the end of its input
 * it deletes them and ends; killed, it leaves them to its successor.
 */
import { create } from "@bufbuild/protobuf";
import { testGateway, workspaceScope } from "../src/modes/gateway/gateway.test-support.ts";
import { restrictiveDefault } from "../src/policy/defaults.ts";
import { policyToProto } from "../src/policy/proto.ts";
import { CreateSandboxRequestSchema } from "../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { each } from "./each.ts";

const FIRST_UID = 2_000_000_000;
const AT_ONCE = 8;
/** Each deletion waits for a process to end. */
const DELETED_AT_ONCE = 64;

export interface ReadyGateway {
  readonly endpoint: string;
  readonly ids: readonly string[];
  /** Seconds to make the sandboxes, or to take over those that run. */
  readonly took: number;
}

async function main(): Promise<void> {
  const [, , counted = "1000", directory, chosen = "0"] = process.argv;
  const [count, port] = [Number(counted), Number(chosen)];
  const started = performance.now();
  const uidRange = { first: FIRST_UID, last: FIRST_UID + count };
  await using test = await testGateway({ uidRange, port }, directory, ["/bin/sh", "-c", "exec sleep 100000", "supervisor"]);
  const { repository, sandboxes } = test.gateway.context;
  if (repository.all().length === 0) {
    const names = Array.from({ length: count }, (_, number) => `session-${number}`);
    await each(AT_ONCE, names, async (name) => {
      const spec = { policy: policyToProto(restrictiveDefault()) };
      await test.user.createSandbox(create(CreateSandboxRequestSchema, { workspaceScope, name, spec }));
    });
  }
  const took = (performance.now() - started) / 1000;
  const ready: ReadyGateway = { endpoint: test.gateway.endpoint, ids: repository.all().map(({ id }) => id), took };
  console.log(JSON.stringify(ready));
  for await (const _ of Bun.stdin.stream());
  await each(DELETED_AT_ONCE, repository.all(), async (record) => void (await sandboxes.delete(record)));
}

if (import.meta.main) {
  await main();
  process.exit(0);
}
