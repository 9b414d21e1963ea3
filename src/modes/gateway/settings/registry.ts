import { OpenShellError } from "../../../error.ts";
import type { SettingValue } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import type { SettingScalar } from "../store/settings.ts";

interface SettingKind {
  /** What a person is told was expected. */
  readonly expects: string;
  readonly fallback: SettingScalar;
  /** The typed value, or undefined when the given one is not of this kind. */
  parse(value: SettingScalar): SettingScalar | undefined;
}

const boolean: SettingKind = {
  expects: "true or false",
  fallback: false,
  parse(value) {
    if (typeof value === "boolean") return value;
    const word = String(value).toLowerCase();
    if (["1", "true", "yes", "y", "on"].includes(word)) return true;
    return ["0", "false", "no", "n", "off"].includes(word) ? false : undefined;
  },
};

/** A chunk lives at least as long as a person needs to read it, and at most a week. */
const MAX_DURATION_MS = 7 * 86_400_000;
const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

const duration = (fallback: string): SettingKind => ({
  expects: "a duration such as 90s, 30m or 1h, at most 7d",
  fallback,
  parse(value) {
    if (typeof value !== "string" || !/^(\d+[smhd])+$/.test(value)) return undefined;
    let total = 0;
    for (const [, amount, unit] of value.matchAll(/(\d+)([smhd])/g)) total += Number(amount) * (units[unit ?? ""] ?? 0);
    return total > 0 && total <= MAX_DURATION_MS ? value : undefined;
  },
});

const oneOf = (...words: readonly [string, ...string[]]): SettingKind => ({
  expects: `one of ${words.join(", ")}`,
  fallback: words[0],
  parse: (value) => (typeof value === "string" && words.includes(value) ? value : undefined),
});

const integer = (fallback: number, maximum: number): SettingKind => ({
  expects: `an integer from 0 to ${maximum}`,
  fallback,
  parse(value) {
    const number = typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value;
    return typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= maximum ? number : undefined;
  },
});

/** A held connection longer than ten minutes outlives every client. */
const MAX_HOLD_SECONDS = 600;

/** Every setting there is (decisions, Settings). */
export const SETTINGS: Readonly<Record<string, SettingKind>> = {
  policy_advisor: { ...oneOf("off", "rules", "model"), fallback: "rules" },
  draft_ttl: duration("1h"),
  hold_denied_seconds: integer(0, MAX_HOLD_SECONDS),
  agent_policy_proposals_enabled: boolean,
  ocsf_json_enabled: boolean,
  inference_requests_per_minute: integer(600, 1_000_000),
  inference_tokens_per_hour: integer(200_000_000, Number.MAX_SAFE_INTEGER),
};

export function kindOf(key: string): SettingKind {
  const kind = Object.hasOwn(SETTINGS, key) ? SETTINGS[key] : undefined;
  if (kind !== undefined) return kind;
  const message = `'${key}' is not a setting; there are ${Object.keys(SETTINGS).join(", ")}`;
  throw new OpenShellError("invalid_argument", message, { violations: [{ field: "setting_key", message }] });
}

/** The typed value of what came over the wire; throws `invalid_argument` for an unknown key or a wrong type. */
export function parseSetting(key: string, value: SettingValue | undefined): SettingScalar {
  const kind = kindOf(key);
  const given = value?.value;
  const scalar =
    given?.case === "intValue"
      ? Number(given.value)
      : given?.case === "stringValue" || given?.case === "boolValue"
        ? given.value
        : undefined;
  const parsed = scalar === undefined ? undefined : kind.parse(scalar);
  if (parsed !== undefined) return parsed;
  const message = `${key} is ${kind.expects}`;
  throw new OpenShellError("invalid_argument", message, { violations: [{ field: "setting_value", message }] });
}
