/** Runs inside a sandbox, on Node: calls every path in argv with the request given as base64, as any gRPC client would, and prints what came of it. */
import { Client, credentials, Metadata } from "@grpc/grpc-js";

const { host } = new URL(process.env["OPENSHELL_ENDPOINT"] ?? "");
const calls = JSON.parse(process.argv[2] ?? "[]") as { path: string; request: string; metadata?: Record<string, string> }[];
// No argument about proxies, no argument about trust: the variables of the sandbox are enough.
const client = new Client(host, credentials.createSsl());
const pass = (bytes: Buffer): Buffer => bytes;

function call({ path, request, metadata = {} }: (typeof calls)[number]): Promise<object> {
  const fields = new Metadata();
  for (const [name, value] of Object.entries(metadata)) fields.set(name, value);
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, pass, pass, Buffer.from(request, "base64"), fields, { deadline: Date.now() + 20_000 }, (error, answer) =>
      resolve(error === null ? { path, code: 0, answer: answer?.toString("base64") } : { path, code: error.code, details: error.details }),
    );
  });
}

const answers: object[] = [];
for (const one of calls) answers.push(await call(one));
console.log(JSON.stringify(answers));
client.close();
