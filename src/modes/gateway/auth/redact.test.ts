import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { Inference } from "../../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import {
  GatewayMessageSchema,
  ListProvidersResponseSchema,
  OpenShell,
  ProviderResponseSchema,
  SandboxResponseSchema,
} from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { canHoldSecret, DELIVERS_SECRETS, REDACTED, redact } from "./redact.ts";

const provider = { type: "openai", credentials: { OPENAI_API_KEY: "sk-1" }, config: { url: "https://x" } };

describe("redaction", () => {
  test("secret fields are overwritten, keys and the rest stay, the original is not touched", () => {
    const answer = create(ProviderResponseSchema, { provider });
    const clean = redact(ProviderResponseSchema, answer);
    expect(clean.provider?.credentials).toEqual({ OPENAI_API_KEY: REDACTED });
    expect(clean.provider?.config).toEqual({ url: "https://x" });
    expect(answer.provider?.credentials["OPENAI_API_KEY"]).toBe("sk-1");
  });

  test("also in lists and inside one-ofs", () => {
    const list = redact(ListProvidersResponseSchema, create(ListProvidersResponseSchema, { providers: [provider, provider] }));
    expect(JSON.stringify(list.providers)).not.toContain("sk-1");
    const environment = { environment: [{ name: "A", value: "sk-2" }] };
    const message = create(GatewayMessageSchema, {
      payload: { case: "configUpdate", value: { providerEnvironment: environment as never } },
    });
    expect(() => redact(GatewayMessageSchema, message)).not.toThrow();
  });

  test("a message without secret fields is passed through as it is", () => {
    const answer = create(SandboxResponseSchema, {});
    expect(redact(SandboxResponseSchema, answer)).toBe(answer);
  });

  test("the answers that may carry a secret are the ones of decision 22", () => {
    const known = [...OpenShell.methods, ...Inference.methods].map((method) => method.name);
    for (const name of DELIVERS_SECRETS) expect(known).toContain(name);
    const carrying = [...OpenShell.methods, ...Inference.methods]
      .filter((method) => canHoldSecret(method.output))
      .map((method) => method.name);
    for (const name of DELIVERS_SECRETS) expect(carrying).toContain(name);
  });
});
