import { clone, type DescField, type DescMessage, getOption, type Message, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { secret } from "../../../rpc/gen/openshell/options/v1/options_pb.ts";

/** What stands in an answer where a secret was. */
export const REDACTED = "REDACTED";

/** Methods whose answer exists to deliver a secret to the one caller who may have it (decision 22). */
export const DELIVERS_SECRETS: ReadonlySet<string> = new Set([
  "IssueSandboxToken",
  "RefreshSandboxToken",
  "GetSandboxProviderEnvironment",
  "ConnectSupervisor",
  "GetInferenceBundle",
  "ExchangeProviderSubjectToken",
  "CreateSshSession",
  "GetProviderCredentials",
]);

/** The message itself when it can hold no secret, else a copy in which every field marked `secret` is overwritten. */
export function redact<T extends Message>(desc: DescMessage, message: T): T {
  if (!canHoldSecret(desc) || !mayHoldSecret(reflect(desc, message))) return message;
  const copy = clone(desc, message);
  overwrite(reflect(desc, copy));
  return copy as T;
}

const known = new Map<string, boolean>();

/** Whether a secret field can be reached from a message type; remembered per type. */
export function canHoldSecret(desc: DescMessage): boolean {
  const before = known.get(desc.typeName);
  if (before !== undefined) return before;
  const reachable = new Set<DescMessage>([desc]);
  for (const type of reachable) {
    for (const field of type.fields) if (field.message !== undefined) reachable.add(field.message);
  }
  const found = [...reachable].some((type) => type.fields.some(isSecret));
  known.set(desc.typeName, found);
  return found;
}

/** Whether a secret field, or a message that can hold one, is set at the top of this message; a stream of bytes has neither. */
function mayHoldSecret(view: ReflectMessage): boolean {
  return view.fields.some(
    (field) => (isSecret(field) || (field.message !== undefined && canHoldSecret(field.message))) && view.isSet(field),
  );
}

const secretFields = new Map<DescField, boolean>();

/** Remembered per field: reading an option costs more than passing a message on. */
function isSecret(field: DescField): boolean {
  const before = secretFields.get(field);
  if (before !== undefined) return before;
  const found = getOption(field, secret);
  secretFields.set(field, found);
  return found;
}

function overwrite(view: ReflectMessage): void {
  for (const field of view.fields) {
    if (!view.isSet(field)) continue;
    if (isSecret(field)) overwriteField(view, field);
    else if (field.fieldKind === "message") overwrite(view.get(field));
    else if (field.fieldKind === "list" && field.listKind === "message")
      for (const item of view.get(field)) overwrite(item as ReflectMessage);
    else if (field.fieldKind === "map" && field.mapKind === "message")
      for (const item of view.get(field).values()) overwrite(item as ReflectMessage);
  }
}

/** Strings say that something was there, and a map keeps its keys; every other kind is cleared. */
function overwriteField(view: ReflectMessage, field: DescField): void {
  if (field.fieldKind === "scalar" && field.scalar === ScalarType.STRING) {
    view.set(field, REDACTED);
  } else if (field.fieldKind === "map" && field.mapKind === "scalar" && field.scalar === ScalarType.STRING) {
    const map = view.get(field);
    for (const key of [...map.keys()]) map.set(key, REDACTED);
  } else {
    view.clear(field);
  }
}
