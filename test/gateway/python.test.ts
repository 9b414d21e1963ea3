/** Real Python clients: grpcio (gRPC C-core) with messages made from the descriptors, and the published package where it is at hand. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { file_openshell_v1_openshell } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import { GatewayHost, missingForGateway } from "./host.ts";

/** Twenty commands at once, ten megabytes, and a time limit, on a machine that does other things too. Milliseconds. */
const LONG = 180_000;

/** The first in PATH, and the system's own, which has the distribution's packages. */
const PYTHONS = [...new Set([Bun.which("python3") ?? "", "/usr/bin/python3"])].filter((path) => existsSync(path));

/** A Python of 3.11 or newer that has these modules, or why there is none. */
function pythonWith(...modules: string[]): { readonly path: string } | { readonly missing: string } {
  const script = `import sys; assert sys.version_info >= (3, 11), "too old"; import ${modules.join(", ")}`;
  const reasons: string[] = [];
  for (const path of PYTHONS) {
    const ran = Bun.spawnSync([path, "-c", script], { stderr: "pipe" });
    if (ran.success) return { path };
    reasons.push(`${path}: ${ran.stderr.toString().trim().split("\n").at(-1)}`);
  }
  return { missing: reasons.join("; ") || "no python3" };
}

const missing = missingForGateway();
const plain = pythonWith("grpc", "google.protobuf");
const published = pythonWith("openshell");
for (const python of [plain, published]) if ("missing" in python) console.log(`skipped: a Python client: ${python.missing}`);

describe.skipIf(missing !== undefined)("Python clients", () => {
  let host: GatewayHost;
  beforeAll(async () => {
    host = await GatewayHost.open();
    await host.start();
  });
  afterAll(() => host?.[Symbol.asyncDispose]());

  async function checks(python: string, ...argv: string[]): Promise<void> {
    const cmd = [python, join(import.meta.dir, "python/checks.py"), ...argv];
    const child = Bun.spawn({ cmd, env: { ...host.env, PYTHONDONTWRITEBYTECODE: "1" }, stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
    const lines = out
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { check: string; ok: boolean; why?: string });
    expect(lines.filter(({ ok }) => !ok).map(({ check, why }) => `${check}: ${why}`)).toEqual([]);
    expect([lines.length, code]).toEqual([10, 0]);
    expect(err).not.toContain("Traceback");
  }

  test.skipIf("missing" in plain)(
    "a client that learns the API by reflection",
    async () => {
      for (const name of ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]) {
        const cmd = ["path" in plain ? plain.path : "", join(import.meta.dir, "python/reflect.py"), name];
        const child = Bun.spawn({ cmd, env: { ...host.env, PYTHONDONTWRITEBYTECODE: "1" }, stdout: "pipe", stderr: "pipe" });
        const [out, err, code] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
        expect([name, code, out, err]).toEqual([
          name,
          0,
          expect.stringMatching(/^\d+\.\d+\.\d+/),
          expect.not.stringContaining("Traceback"),
        ]);
      }
    },
    LONG,
  );

  test.skipIf("missing" in plain)(
    "grpcio",
    async () => {
      const descriptors = join(host.directory, "descriptors.binpb");
      writeFileSync(descriptors, descriptorSet(file_openshell_v1_openshell));
      await checks("path" in plain ? plain.path : "", "plain", descriptors);
    },
    LONG,
  );

  test.skipIf("missing" in published)("the published package", () => checks("path" in published ? published.path : "", "published"), LONG);
});

/** A file and everything it imports, each after what it imports. */
function descriptorSet(file: DescFile): Uint8Array {
  const all = new Set<DescFile>();
  const visit = (next: DescFile): void => {
    if (all.has(next)) return;
    next.dependencies.forEach(visit);
    all.add(next);
  };
  visit(file);
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [...all].map(({ proto }) => proto) }));
}
