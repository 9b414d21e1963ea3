import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConnectRouter, ServiceImpl } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { type BufferTerminal, type BufferTerminalOptions, bufferTerminal } from "../../command/terminal.fixture.ts";
import { Inference } from "../../rpc/gen/openshell/inference/v1/inference_pb.ts";
import { OpenShell } from "../../rpc/gen/openshell/v1/openshell_pb.ts";
import { createRoot, runRoot } from "./root.ts";

/** A command line against a gateway that answers what a test says, over real gRPC on loopback. */
export interface FakeGateway extends AsyncDisposable {
  readonly endpoint: string;
  readonly home: string;
  run(line: string | readonly string[], options?: BufferTerminalOptions): Promise<{ code: number; out: string; err: string }>;
}

/** Runs one command line with an own configuration directory. */
export async function runCli(argv: readonly string[], home: string, options: BufferTerminalOptions = {}) {
  const never = () => Promise.reject(new Error("another mode was loaded"));
  const root = createRoot({ gatewayServe: never, sandboxRun: never, doctor: never });
  const env = { XDG_CONFIG_HOME: home, OPENSHELL_SYSTEM_GATEWAY_DIR: join(home, "system"), ...options.env };
  const terminal: BufferTerminal = bufferTerminal({ ...options, env });
  const code = await runRoot(root, argv, terminal);
  return { code, out: terminal.stdout(), err: terminal.stderr() };
}

/** Starts it; methods that are not given answer UNIMPLEMENTED. */
export async function fakeGateway(
  implementation: Partial<ServiceImpl<typeof OpenShell>>,
  inference: Partial<ServiceImpl<typeof Inference>> = {},
): Promise<FakeGateway> {
  const routes = (router: ConnectRouter) => void router.service(OpenShell, implementation).service(Inference, inference);
  const server: Http2Server = createServer(connectNodeAdapter({ routes }));
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const home = mkdtempSync(join(tmpdir(), "openshell-cli-"));
  return {
    endpoint,
    home,
    run: (line, options = {}) =>
      runCli(typeof line === "string" ? line.split(" ") : line, home, {
        ...options,
        env: { OPENSHELL_GATEWAY_ENDPOINT: endpoint, ...options.env },
      }),
    async [Symbol.asyncDispose]() {
      server.close();
      rmSync(home, { recursive: true });
    },
  };
}
