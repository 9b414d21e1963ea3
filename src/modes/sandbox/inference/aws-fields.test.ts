import { expect, test } from "bun:test";
import { bedrockRegion, readAwsKey } from "../../../inference/aws-key.ts";
import { awsFields } from "./aws-fields.ts";

const KEY = { accessKeyId: "AKIDEXAMPLE00000", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };

test("keys of AWS are told from others", () => {
  expect(readAwsKey(`${KEY.accessKeyId}:${KEY.secretAccessKey}`)).toEqual(KEY);
  expect(readAwsKey(`${KEY.accessKeyId}:${KEY.secretAccessKey}:token==`)).toEqual({ ...KEY, sessionToken: "token==" });
  for (const other of ["sk-abcdefghijklmnopqrstuvwxyz", "ABSK:short", "", "a:b:c:d"]) expect(readAwsKey(other)).toBeUndefined();
});

test("a host names its region", () => {
  expect(bedrockRegion("bedrock-runtime.eu-west-1.amazonaws.com")).toBe("eu-west-1");
  expect(bedrockRegion("bedrock-runtime-fips.us-gov-west-1.amazonaws.com")).toBe("us-gov-west-1");
  expect(bedrockRegion("vpce-1.bedrock-runtime.us-east-2.vpce.amazonaws.com")).toBe("us-east-2");
  expect(bedrockRegion("localhost")).toBeUndefined();
});

test("a request is signed, and the secret is not in it", () => {
  const url = new URL("https://bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-v2%3A1/invoke");
  const headers = { "content-type": "application/json", accept: "*/*" };
  const fields = awsFields(
    { method: "POST", url, headers, body: "{}" },
    { ...KEY, sessionToken: "session" },
    new Date("2026-01-02T03:04:05.678Z"),
  );
  expect(fields).toMatchObject({ accept: "*/*", "x-amz-date": "20260102T030405Z", "x-amz-security-token": "session" });
  expect(fields["authorization"]).toMatch(
    /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE00000\/20260102\/eu-west-1\/bedrock\/aws4_request, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=[0-9a-f]{64}$/,
  );
  expect(JSON.stringify(fields)).not.toContain(KEY.secretAccessKey);
});
