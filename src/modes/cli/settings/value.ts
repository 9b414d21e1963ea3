import type { MessageInitShape } from "@bufbuild/protobuf";
import { usageError } from "../../../command/usage-error.ts";
import { enumValue, integerValue } from "../../../command/values.ts";
import type { SettingValue, SettingValueSchema } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";

/** Settings that are not plain text, so that `true` and `60` arrive with their type. The gateway has the last word on every key. */
const TYPES: Readonly<Record<string, "boolean" | "integer">> = {
  agent_policy_proposals_enabled: "boolean",
  ocsf_json_enabled: "boolean",
  hold_denied_seconds: "integer",
  inference_requests_per_minute: "integer",
  inference_tokens_per_hour: "integer",
};

const ADVISOR_MODES = ["off", "rules", "model"];
const PATH = ["openshell", "settings", "set"];

/** A setting as typed by a person, with the type of its key. */
export function parseSetting(key: string, value: string): MessageInitShape<typeof SettingValueSchema> {
  if (TYPES[key] === "boolean") {
    if (/^(1|true|yes|y|on)$/i.test(value)) return { value: { case: "boolValue", value: true } };
    if (/^(0|false|no|n|off)$/i.test(value)) return { value: { case: "boolValue", value: false } };
    throw usageError(`setting '${key}' is '${value}', expected true or false`, PATH);
  }
  if (TYPES[key] === "integer") {
    return { value: { case: "intValue", value: BigInt(integerValue(key, value, { min: 0, max: Number.MAX_SAFE_INTEGER }, PATH)) } };
  }
  if (key === "policy_advisor") enumValue(key, value, ADVISOR_MODES, PATH);
  return { value: { case: "stringValue", value } };
}

/** A setting's value for json and tables; nothing when it is unset. */
export function settingData(setting: SettingValue | undefined): string | number | boolean | null {
  const value = setting?.value;
  if (value === undefined || value.case === undefined) return null;
  if (value.case === "intValue") return Number(value.value);
  return value.case === "bytesValue" ? Buffer.from(value.value).toString("base64") : value.value;
}
