/** A gRPC client on grpc-js alone, for tests of how other people's clients see the gateway: no code of ours between it and the wire. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Client, type ClientReadableStream, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { GatewayHost } from "./host.ts";

/** What a call came to: the published SDK's GatewayError, in our words. */
export class CallError extends Error {
  readonly details: string;
  constructor(
    readonly code: status,
    text: string,
    readonly metadata: Metadata,
  ) {
    // grpc-js leaves reserved characters as they were sent, which other clients decode.
    const details = text.replace(/%(?:2[346BCF]|3[ABDF]|40)/g, decodeURIComponent);
    super(`${status[code]}: ${details}`);
    this.details = details;
  }
}

/** What a call fails with; one that succeeds is an error. */
export function failureOf(call: Promise<unknown>): Promise<CallError> {
  return call.then(
    () => {
      throw new Error("the call succeeded");
    },
    (error) => error as CallError,
  );
}

export const pathOf = (method: DescMethod): string => `/${method.parent.typeName}/${method.name}`;

/** Finds the gateway as the SDK does: `active_gateway`, `metadata.json`, the three files of `mtls/`. */
export function registeredClient(host: GatewayHost): PlainClient {
  const config = join(host.directory, "config/openshell");
  const name = readFileSync(join(config, "active_gateway"), "utf8").trim();
  const directory = join(config, "gateways", name);
  const { gateway_endpoint: endpoint } = JSON.parse(readFileSync(join(directory, "metadata.json"), "utf8")) as { gateway_endpoint: string };
  const { hostname, port, protocol } = new URL(endpoint);
  const pem = (file: string) => readFileSync(join(directory, "mtls", file));
  const secure = protocol === "https:";
  const channel = secure ? credentials.createSsl(pem("ca.crt"), pem("tls.key"), pem("tls.crt")) : credentials.createInsecure();
  // Bun refuses an address as TLS server name; the certificate has both.
  return new PlainClient(new Client(`${hostname}:${port}`, channel, { "grpc.ssl_target_name_override": "localhost" }));
}

/** Calls as the supervisor of a sandbox: the authority alone, and the token that the gateway gave it. */
export function supervisorClient(host: GatewayHost, sandboxId: string): PlainClient {
  const ca = readFileSync(join(host.directory, "config/openshell/gateways/openshell/mtls/ca.crt"));
  const token = readFileSync(join(host.sandboxesDirectory, sandboxId, "run/token"), "utf8").trim();
  const { hostname, port } = new URL(host.endpoint);
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${token}`);
  const channel = new Client(`${hostname}:${port}`, credentials.createSsl(ca), { "grpc.ssl_target_name_override": "localhost" });
  return new PlainClient(channel, metadata);
}

/** Every unary call has a deadline, as in the SDK. Milliseconds. */
const TIMEOUT = 30_000;

export class PlainClient implements Disposable {
  constructor(
    readonly channel: Client,
    /** Goes with every call. */
    readonly metadata = new Metadata(),
  ) {}

  unary<M extends DescMethod>(method: M, request: MessageInitShape<M["input"]>, timeoutMs = TIMEOUT): Promise<MessageShape<M["output"]>> {
    return this.raw(method, toBinary(method.input as DescMessage, create(method.input as DescMessage, request)), timeoutMs).then(
      (bytes) => fromBinary(method.output as DescMessage, bytes) as MessageShape<M["output"]>,
    );
  }

  /** A unary call of bytes. */
  raw(method: DescMethod, request: Uint8Array, timeoutMs = TIMEOUT): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const done = (error: ServiceError | null, answer?: Buffer): void => {
        if (error !== null) reject(new CallError(error.code, error.details, error.metadata));
        else resolve(answer ?? new Uint8Array());
      };
      const options = { deadline: Date.now() + timeoutMs };
      this.channel.makeUnaryRequest(pathOf(method), toBuffer, same, request, this.metadata, options, done);
    });
  }

  /** A stream of answers; ends by itself, or throws what the SDK would raise. Leaving the loop cancels the call. */
  async *stream<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    timeoutMs = TIMEOUT,
  ): AsyncGenerator<MessageShape<M["output"]>> {
    const bytes = toBinary(method.input as DescMessage, create(method.input as DescMessage, request));
    const options = { deadline: Date.now() + timeoutMs };
    const call: ClientReadableStream<Buffer> = this.channel.makeServerStreamRequest(
      pathOf(method),
      toBuffer,
      same,
      bytes,
      this.metadata,
      options,
    );
    try {
      for await (const answer of call) yield fromBinary(method.output as DescMessage, answer as Buffer) as MessageShape<M["output"]>;
    } catch (error) {
      const { code, details, metadata } = error as ServiceError;
      throw new CallError(code, details, metadata);
    } finally {
      call.cancel();
    }
  }

  /** Opens a bidirectional call, writes bytes, and gives the status it ends with. */
  ending(method: DescMethod, message: Uint8Array, timeoutMs = TIMEOUT): Promise<{ code: status; details: string }> {
    return new Promise((resolve) => {
      const call = this.channel.makeBidiStreamRequest(pathOf(method), toBuffer, same, this.metadata, { deadline: Date.now() + timeoutMs });
      call.on("data", () => {});
      call.on("error", () => {});
      call.on("status", ({ code, details }) => resolve({ code, details }));
      call.write(message);
    });
  }

  [Symbol.dispose](): void {
    this.channel.close();
  }
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes);
}

function same(bytes: Buffer): Buffer {
  return bytes;
}
