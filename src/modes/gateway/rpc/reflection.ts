import { createRegistry, type DescFile, type DescService, type MessageInitShape, type Registry, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type {
  ServerReflection,
  ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from "../../../rpc/gen/grpc/reflection/v1/reflection_pb.ts";

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/** gRPC's own numbers for the errors that travel inside an answer. */
const NOT_FOUND = 5;
const INVALID_ARGUMENT = 3;

/** The services of this server and the files that define them, to generic clients. */
export function reflectionService(services: readonly DescService[]): ServiceImpl<typeof ServerReflection> {
  const files = withImports(services.map(({ file }) => file));
  const registry = createRegistry(...files);
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield { validHost: request.host, originalRequest: request, messageResponse: answer(request, services, files, registry) };
      }
    },
  };
}

function answer(
  { messageRequest: asked }: ServerReflectionRequest,
  services: readonly DescService[],
  files: readonly DescFile[],
  registry: Registry,
): Answer {
  switch (asked.case) {
    case "listServices":
      return { case: "listServicesResponse", value: { service: services.map(({ typeName }) => ({ name: typeName })).sort(byName) } };
    case "fileByFilename":
      return fileAnswer(files.find(({ proto }) => proto.name === asked.value));
    case "fileContainingSymbol":
      return fileAnswer(definitionOf(asked.value, registry)?.file);
    case "fileContainingExtension":
      return fileAnswer(
        extensionsOf(asked.value.containingType, registry).find(({ number }) => number === asked.value.extensionNumber)?.file,
      );
    case "allExtensionNumbersOfType": {
      const extensionNumber = extensionsOf(asked.value, registry).map(({ number }) => number);
      return { case: "allExtensionNumbersResponse", value: { baseTypeName: asked.value, extensionNumber } };
    }
    default:
      return failure(INVALID_ARGUMENT, "the request asks for nothing that this server knows");
  }
}

function extensionsOf(typeName: string, registry: Registry) {
  return [...registry]
    .filter((desc) => desc.kind === "extension" && desc.extendee.typeName === typeName)
    .filter((d) => d.kind === "extension");
}

/** A message, enum, service or extension by its full name, or what contains the field or method of that name. */
function definitionOf(symbol: string, registry: Registry): { readonly file: DescFile } | undefined {
  for (let name = symbol; name !== ""; name = name.slice(0, Math.max(0, name.lastIndexOf(".")))) {
    const found = registry.get(name);
    if (found !== undefined) return found;
  }
  return undefined;
}

function fileAnswer(file: DescFile | undefined): Answer {
  if (file === undefined) return failure(NOT_FOUND, "there is no such file or symbol");
  const fileDescriptorProto = withImports([file]).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function failure(errorCode: number, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

/** Files and everything they import, each once, before what they import. */
function withImports(files: readonly DescFile[]): DescFile[] {
  const all = new Set<DescFile>();
  const visit = (file: DescFile): void => {
    if (all.has(file)) return;
    file.dependencies.forEach(visit);
    all.add(file);
  };
  files.forEach(visit);
  return [...all].reverse();
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}
