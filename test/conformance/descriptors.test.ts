/** The API against the published client generation: everything there is here with the same numbers and types; what we add is named below. */
import { describe, expect, test } from "bun:test";
import type { DescFile } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { file_openshell_datamodel_v1_datamodel } from "../../src/rpc/gen/openshell/datamodel/v1/datamodel_pb.ts";
import { file_openshell_inference_v1_bundle } from "../../src/rpc/gen/openshell/inference/v1/bundle_pb.ts";
import { file_openshell_options_v1_options } from "../../src/rpc/gen/openshell/options/v1/options_pb.ts";
import { file_openshell_sandbox_v1_sandbox } from "../../src/rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { file_openshell_v1_openshell } from "../../src/rpc/gen/openshell/v1/openshell_pb.ts";
import additions from "./additions.json" with { type: "json" };
import wire from "./wire-descriptors.json" with { type: "json" };

const files: readonly DescFile[] = [
  file_openshell_v1_openshell,
  file_openshell_sandbox_v1_sandbox,
  file_openshell_datamodel_v1_datamodel,
  file_openshell_options_v1_options,
  file_openshell_inference_v1_bundle,
];

/** [number, name, type, cardinality], as in the published facts. */
type Field = [number, string, string, string];

function typeOf(field: FieldDescriptorProto): string {
  return field.typeName ? field.typeName.replace(/^\./, "") : (Type[field.type] ?? "").toLowerCase();
}

function cardinality(field: FieldDescriptorProto, message: DescriptorProto): string {
  if (field.label === Label.REPEATED) return "repeated";
  if (field.proto3Optional) return "optional";
  // Absent on the wire means -1 here only for fields outside a oneof: presence decides, not the value.
  const inOneof = Object.hasOwn(field, "oneofIndex");
  return inOneof ? (message.oneofDecl[field.oneofIndex]?.name ?? "") : "";
}

const messages = new Map<string, Field[]>();
const enums = new Map<string, [number, string][]>();
const methods = new Map<string, unknown[]>();

function addEnum(prefix: string, found: EnumDescriptorProto): void {
  enums.set(
    `${prefix}.${found.name}`,
    found.value.map((value) => [value.number, value.name]),
  );
}

function addMessage(prefix: string, found: DescriptorProto): void {
  const name = `${prefix}.${found.name}`;
  messages.set(
    name,
    found.field.map((field) => [field.number, field.name, typeOf(field), cardinality(field, found)]),
  );
  for (const nested of found.nestedType) addMessage(name, nested);
  for (const nested of found.enumType) addEnum(name, nested);
}

for (const { proto } of files) {
  for (const found of proto.messageType) addMessage(proto.package, found);
  for (const found of proto.enumType) addEnum(proto.package, found);
  for (const service of proto.service) {
    for (const method of service.method) {
      const types = [method.inputType, method.outputType].map((name) => name.replace(/^\./, ""));
      methods.set(`${proto.package}.${service.name}/${method.name}`, [...types, method.clientStreaming, method.serverStreaming]);
    }
  }
}

describe("published API", () => {
  test("every message has its fields with the same number, name, type and cardinality", () => {
    const missing: string[] = [];
    for (const [name, fields] of Object.entries(wire.messages)) {
      const ours = messages.get(name);
      for (const field of fields) {
        const same = ours?.some((own) => Bun.deepEquals(own, field));
        if (!same) missing.push(`${name}: ${JSON.stringify(field)}, here ${JSON.stringify(ours?.find(([number]) => number === field[0]))}`);
      }
      if (ours === undefined) missing.push(name);
    }
    expect(missing).toEqual([]);
  });

  test("every enum has its values", () => {
    const missing: string[] = [];
    for (const [name, values] of Object.entries(wire.enums)) {
      for (const value of values)
        if (!enums.get(name)?.some((own) => Bun.deepEquals(own, value))) missing.push(`${name}: ${JSON.stringify(value)}`);
    }
    expect(missing).toEqual([]);
  });

  test("every method has its types and streams", () => {
    const missing: string[] = [];
    for (const [service, list] of Object.entries(wire.services)) {
      for (const [method, ...shape] of list) {
        const name = `${service}/${method}`;
        if (!Bun.deepEquals(methods.get(name), shape))
          missing.push(`${name}: ${JSON.stringify(shape)}, here ${JSON.stringify(methods.get(name))}`);
      }
    }
    expect(missing).toEqual([]);
  });
});

describe("our additions", () => {
  const published = wire.messages as Record<string, unknown[][]>;
  const publishedEnums = wire.enums as Record<string, unknown[][]>;
  const added: string[] = [];
  for (const [name, fields] of messages) {
    const known = published[name];
    if (known === undefined) added.push(name);
    else for (const [number, field] of fields) if (!known.some(([n]) => n === number)) added.push(`${name}.${field}=${number}`);
  }
  for (const [name, values] of enums) {
    const known = publishedEnums[name];
    if (known === undefined) added.push(name);
    else for (const [number, value] of values) if (!known.some(([n]) => n === number)) added.push(`${name}.${value}=${number}`);
  }
  for (const name of methods.keys()) {
    const [service = "", method] = name.split("/");
    const known = (wire.services as unknown as Record<string, unknown[][]>)[service];
    if (!known?.some(([published]) => published === method)) added.push(name);
  }

  test("are the ones listed in additions.json", () => {
    expect(added.sort()).toEqual([...additions].sort());
  });

  test("in published messages have numbers from 1000 up", () => {
    const low = added.filter((name) => /=\d+$/.test(name) && Number(name.split("=")[1]) < 1000);
    expect(low).toEqual([]);
  });
});
