import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type L7Allow,
  type L7AllowSchema,
  type L7DenyRule,
  type L7QueryMatcher,
  L7QueryMatcherSchema,
} from "../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { fieldPath, type Path } from "./field-path.ts";
import type { Report } from "./from-authored.ts";
import type { Matcher, RequestRule } from "./model.ts";

/** L7Allow and L7DenyRule have the same fields. */
export function requestRuleToProto(rule: RequestRule): Omit<MessageInitShape<typeof L7AllowSchema>, "$typeName" | "$unknown"> {
  return {
    method: rule.method,
    path: rule.path,
    command: rule.command,
    query: mapValues(rule.query, matcherToProto),
    operationType: rule.operationType,
    operationName: rule.operationName,
    fields: [...rule.fields],
    params: mapValues(rule.params, matcherToProto),
  };
}

export function requestRuleFromProto(rule: L7Allow | L7DenyRule, at: Path, report: Report): RequestRule {
  const matchers = (name: "query" | "params") =>
    Object.fromEntries(Object.entries(rule[name]).map(([key, matcher]) => [key, matcherFromProto(matcher, [...at, name, key], report)]));
  return {
    method: rule.method,
    path: rule.path,
    command: rule.command,
    query: matchers("query"),
    operationType: rule.operationType,
    operationName: rule.operationName,
    fields: [...rule.fields],
    params: matchers("params"),
  };
}

function matcherToProto(matcher: Matcher): L7QueryMatcher {
  return create(L7QueryMatcherSchema, "glob" in matcher ? { glob: matcher.glob } : { any: [...matcher.any] });
}

function matcherFromProto({ glob, any }: L7QueryMatcher, at: Path, report: Report): Matcher {
  if (glob !== "" && any.length > 0) report(fieldPath(at), "glob and any are mutually exclusive");
  return any.length > 0 ? { any: [...any] } : { glob };
}

export function mapValues<T, U>(record: Readonly<Record<string, T>>, map: (value: T, key: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]));
}
