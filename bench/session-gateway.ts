/**
 * A gateway, in a process of its own, whose sandboxes are processes that sleep: for sessions that a load generator plays. Argument: how many.
 * Prints one JSON line with its directory and address when they exist; ends with its input.
 */
import { create } from "@bufbuild/protobuf";
import { testGateway, workspaceScope } from "../src/modes/gateway/gateway.test-support.ts";
import { CreateSandboxRequestSchema } from "../src/rpc/gen/openshell/v1/openshell_pb.ts";

const FIRST_UID = 2_000_000_000;
const AT_ONCE = 8;

async function main(): Promise<void> {
  const count = Number(process.argv[2] ?? 1000);
  await using test = await testGateway({ uidRange: { first: FIRST_UID, last: FIRST_UID + count } }, undefined, [
    "/bin/sh",
    "-c",
    "exec sleep 100000",
    "supervisor",
  ]);
  const ids: string[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < count) {
        const name = `session-${next++}`;
        const { sandbox } = await test.user.createSandbox(create(CreateSandboxRequestSchema, { workspaceScope, name, spec: {} }));
        ids.push(sandbox?.metadata?.id ?? "");
      }
    }),
  );
  console.log(JSON.stringify({ directory: test.directory, endpoint: test.gateway.endpoint, ids }));
  for await (const _ of Bun.stdin.stream());
}

await main();
process.exit(0);
