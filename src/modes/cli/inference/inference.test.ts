import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../../../error.ts";
import { toConnectError } from "../../../rpc/errors.ts";
import { GetInferenceRouteResponseSchema, type SetInferenceRouteRequest } from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import { DeletionOutcome } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { fakeGateway } from "../gateway.fixture.ts";

const route = {
  providerName: "openai",
  modelId: "gpt-4.1",
  version: 3n,
  routeName: "inference.local",
  timeout: durationFromMs(60_000),
  workspace: "default",
};

/** Answers what it is asked and keeps what was sent. */
function keeping(sent: SetInferenceRouteRequest[]) {
  return {
    setInferenceRoute(request: SetInferenceRouteRequest) {
      sent.push(request);
      const validatedEndpoints = request.noVerify
        ? []
        : [{ url: "https://api.openai.com/v1/chat/completions", protocol: "openai_chat_completions" }];
      return { ...route, modelId: request.modelId, validationPerformed: !request.noVerify, validatedEndpoints };
    },
    getInferenceRoute({ routeName }: { routeName: string }) {
      if (routeName === "inference.local") return create(GetInferenceRouteResponseSchema, route);
      throw toConnectError(new OpenShellError("not_found", `inference route '${routeName}' is not set`), () => {});
    },
    deleteInferenceRoute: () => ({ outcome: DeletionOutcome.COMPLETED }),
  };
}

describe("inference", () => {
  test("set sends what was said and shows what is in force", async () => {
    const sent: SetInferenceRouteRequest[] = [];
    await using gateway = await fakeGateway({}, keeping(sent));
    const { code, out, err } = await gateway.run("inference set --provider openai --model gpt-4.1 --timeout 5m");
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain("verified at https://api.openai.com/v1/chat/completions");
    expect(sent[0]).toMatchObject({
      providerName: "openai",
      modelId: "gpt-4.1",
      routeName: "inference.local",
      noVerify: false,
      timeout: { seconds: 300n },
    });
    const system = await gateway.run("cluster inference set --system --provider openai --model small --no-verify -o json");
    expect(sent[1]).toMatchObject({ routeName: "sandbox-system", noVerify: true });
    expect(JSON.parse(system.out)).toMatchObject({ model: "small", validation_performed: false, validated_endpoints: [] });
  });

  test("update keeps what is not named", async () => {
    const sent: SetInferenceRouteRequest[] = [];
    await using gateway = await fakeGateway({}, keeping(sent));
    expect((await gateway.run("inference update --model other")).code).toBe(0);
    expect(sent[0]).toMatchObject({ providerName: "openai", modelId: "other", timeout: { seconds: 60n } });
  });

  test("get and delete, as table and data; what is not set is an error", async () => {
    await using gateway = await fakeGateway({}, keeping([]));
    expect((await gateway.run("inference get")).out).toContain("gpt-4.1");
    expect(JSON.parse((await gateway.run("inference get -o json")).out)).toEqual({
      ...{ route: "inference.local", provider: "openai", model: "gpt-4.1", timeout_seconds: 60, version: 3, workspace: "default" },
    });
    const missing = await gateway.run("inference get --system");
    expect([missing.code, missing.err.includes("'sandbox-system' is not set")]).toEqual([1, true]);
    expect((await gateway.run("inference remove")).out).toContain("inference.local is removed");
    expect((await gateway.run("inference set --provider openai")).code).toBe(2);
    expect((await gateway.run("inference set --provider openai --model m --timeout soon")).code).toBe(2);
  });
});
