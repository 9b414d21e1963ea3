import { expect, test } from "bun:test";
import { type DescFile, getOption, hasOption, toBinary } from "@bufbuild/protobuf";
import { fileDesc } from "@bufbuild/protobuf/codegenv2";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { authorization, file_openshell_options_v1_options, secret } from "./gen/openshell/options/v1/options_pb.ts";
import { file_openshell_sandbox_v1_sandbox } from "./gen/openshell/sandbox/v1/sandbox_pb.ts";
import { file_openshell_v1_openshell } from "./gen/openshell/v1/openshell_pb.ts";

/** What programs and our own checks read from a description. */
function summary(file: DescFile) {
  return {
    name: file.name,
    dependencies: file.dependencies.map(({ name }) => name),
    messages: file.messages.map((message) => ({
      name: message.typeName,
      nested: [...message.nestedMessages, ...message.nestedEnums].map(({ typeName }) => typeName),
      oneofs: message.oneofs.map(({ localName, fields }) => [localName, fields.map(({ number }) => number)]),
      fields: message.fields.map((field) => ({
        ...{ number: field.number, name: field.name, localName: field.localName, jsonName: field.jsonName, kind: field.fieldKind },
        ...{ message: field.message?.typeName, enumeration: field.enum?.typeName, presence: field.presence, text: field.toString() },
        secret: hasOption(field, secret) && getOption(field, secret),
      })),
    })),
    enums: file.enums.map((one) => ({ name: one.typeName, values: one.values.map(({ name, number }) => [name, number]) })),
    services: file.services.map((service) => ({
      name: service.typeName,
      methods: service.methods.map((method) => ({
        ...{ name: method.name, kind: method.methodKind, input: method.input.typeName, output: method.output.typeName },
        rule: hasOption(method, authorization) && getOption(method, authorization),
      })),
    })),
  };
}

for (const file of [file_openshell_v1_openshell, file_openshell_sandbox_v1_sandbox, file_openshell_options_v1_options]) {
  test(`the description of ${file.name} is the one that the library would have read`, () => {
    const bytes = toBinary(FileDescriptorProtoSchema, file.proto);
    const theirs = fileDesc(Buffer.from(bytes).toString("base64"), [...file.dependencies]);
    expect(summary(file)).toEqual(summary(theirs));
    expect(file.proto).toEqual(theirs.proto);
  });
}
