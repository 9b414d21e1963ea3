import { create, createFileRegistry, type DescFile, type DescMessage } from "@bufbuild/protobuf";
import type { GenFile } from "@bufbuild/protobuf/codegenv2";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { OpenShellError } from "../error.ts";

/** A message as JSON.parse gives it: what is set, by the names of the library; without its type, and without empty lists. */
type Plain = Record<string, unknown>;

/** What turns a plain object into a message of one type. */
interface Kind {
  readonly typeName: string;
  /** Holds what fields say that are not set. */
  readonly prototype: object;
  /** Fields that are lists or messages. */
  readonly parts: readonly { readonly name: string; readonly list: boolean; readonly message: DescMessage | undefined }[];
}

const kinds = new Map<string, Kind>();

function kindOf(schema: DescMessage): Kind {
  const known = kinds.get(schema.typeName);
  if (known !== undefined) return known;
  const kind = {
    typeName: schema.typeName,
    prototype: Object.getPrototypeOf(create(schema)) as object,
    parts: schema.fields
      .filter(({ fieldKind }) => fieldKind === "list" || fieldKind === "message")
      .map((field) => ({ name: field.localName, list: field.fieldKind === "list", message: field.message })),
  };
  kinds.set(schema.typeName, kind);
  return kind;
}

function revive(value: Plain, schema: DescMessage): void {
  const { typeName, prototype, parts } = kindOf(schema);
  Object.setPrototypeOf(value, prototype);
  value["$typeName"] = typeName;
  for (const { name, list, message } of parts) {
    const part = value[name];
    if (part === undefined) {
      if (list) value[name] = [];
    } else if (message !== undefined) {
      for (const one of list ? (part as Plain[]) : [part as Plain]) revive(one, message);
    }
  }
  // Options of ours, which the library keeps as bytes.
  const unknown = value["$unknown"] as { data: string | Uint8Array }[] | undefined;
  for (const field of unknown ?? []) field.data = base64Decode(field.data as string);
}

/**
 * The description of a .proto file, from the JSON that scripts/generate-stubs.ts writes. The library's own way, a serialised message in base64,
 * is decoded by reflection: that took a third of the time in which a command starts.
 */
export function describedFile(json: string, imports: readonly DescFile[] = []): GenFile {
  const plain = JSON.parse(json) as Plain;
  revive(plain, FileDescriptorProtoSchema);
  const proto = plain as unknown as FileDescriptorProto;
  const file = createFileRegistry(proto, (name) => imports.find((other) => other.proto.name === name)).getFile(proto.name);
  if (file === undefined) throw new OpenShellError("internal", `${proto.name} does not describe itself`);
  return file as GenFile;
}
