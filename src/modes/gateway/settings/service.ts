import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import {
  type EffectiveSetting,
  EffectiveSettingSchema,
  SettingScope,
  type SettingValue,
  SettingValueSchema,
} from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { GLOBAL_SCOPE, type SettingScalar, type SettingsRepository } from "../store/settings.ts";
import { kindOf, parseSetting, SETTINGS } from "./registry.ts";

/** Settings of the gateway and of each sandbox; the gateway's win. */
export interface SettingsService {
  /** The effective value, or the default. */
  get(sandboxId: string, key: string): SettingScalar;
  scope(sandboxId: string, key: string): "sandbox" | "gateway" | undefined;
  /** Sets (or with `undefined` deletes) a value; `sandboxId` undefined means the gateway's. Returns whether it changed. */
  put(sandboxId: string | undefined, key: string, value: SettingValue | "delete"): boolean;
  /** Every registered key; one that nobody set has no value and no scope. */
  effective(sandboxId: string): Record<string, EffectiveSetting>;
  global(): Record<string, SettingValue>;
  revision(): number;
  deleteSandbox(sandboxId: string): void;
}

export function settingsService(repository: SettingsRepository): SettingsService {
  const scope = (sandboxId: string, key: string): "sandbox" | "gateway" | undefined => {
    if (repository.get(GLOBAL_SCOPE, key) !== undefined) return "gateway";
    return repository.get(sandboxId, key) === undefined ? undefined : "sandbox";
  };
  return {
    get: (sandboxId, key) => repository.get(GLOBAL_SCOPE, key) ?? repository.get(sandboxId, key) ?? kindOf(key).fallback,
    scope,
    put(sandboxId, key, value) {
      kindOf(key);
      const parsed = value === "delete" ? undefined : parseSetting(key, value);
      if (sandboxId !== undefined && repository.get(GLOBAL_SCOPE, key) !== undefined) {
        throw new OpenShellError(
          "failed_precondition",
          `setting '${key}' is managed globally; delete the global setting before sandbox update`,
          {
            next: `openshell settings delete --key ${key} --global`,
          },
        );
      }
      return repository.put(sandboxId ?? GLOBAL_SCOPE, key, parsed);
    },
    effective(sandboxId) {
      const all: Record<string, EffectiveSetting> = {};
      const [global, own] = [repository.all(GLOBAL_SCOPE), repository.all(sandboxId)];
      for (const key of Object.keys(SETTINGS)) {
        const value = global.get(key) ?? own.get(key);
        const from = global.has(key) ? SettingScope.GLOBAL : own.has(key) ? SettingScope.SANDBOX : SettingScope.UNSPECIFIED;
        all[key] = create(EffectiveSettingSchema, { ...(value === undefined ? {} : { value: toValue(value) }), scope: from });
      }
      return all;
    },
    global() {
      const all: Record<string, SettingValue> = {};
      for (const key of Object.keys(SETTINGS)) {
        const value = repository.get(GLOBAL_SCOPE, key);
        all[key] = value === undefined ? create(SettingValueSchema) : toValue(value);
      }
      return all;
    },
    revision: () => repository.revision(),
    deleteSandbox: (sandboxId) => repository.deleteScope(sandboxId),
  };
}

function toValue(value: SettingScalar): SettingValue {
  const init: MessageInitShape<typeof SettingValueSchema>["value"] =
    typeof value === "boolean"
      ? { case: "boolValue", value }
      : typeof value === "number"
        ? { case: "intValue", value: BigInt(value) }
        : { case: "stringValue", value };
  return create(SettingValueSchema, { value: init });
}
