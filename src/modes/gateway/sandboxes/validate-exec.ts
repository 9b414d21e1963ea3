import { durationMs } from "@bufbuild/protobuf/wkt";
import type { ExecSandboxRequest } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import {
  atMost,
  checkNoNul,
  invalid,
  MAX_ENVIRONMENT_STRING,
  MAX_EXEC_ARG_BYTES,
  MAX_EXEC_ARGS,
  MAX_EXEC_ARGV_BYTES,
  MAX_EXEC_ENVIRONMENT_BYTES,
  MAX_EXEC_STDIN_BYTES,
  MAX_WORKDIR_LENGTH,
} from "./limits.ts";

/** Limits of one exec (decision 25): what execve would refuse is refused here, with both numbers, never as an internal error. */
export function validateExec(request: ExecSandboxRequest): void {
  if (request.mainProcess && request.command.length > 0) throw invalid("main_process", "is one, and command is another");
  if (request.mainProcess) return;
  if (request.command.length === 0 || request.command[0] === "") throw invalid("command", "is required");
  atMost("command", request.command.length, MAX_EXEC_ARGS, "arguments");
  let total = 0;
  for (const [index, arg] of request.command.entries()) {
    const bytes = Buffer.byteLength(arg);
    atMost(`command[${index}]`, bytes, MAX_EXEC_ARG_BYTES, "bytes");
    checkNoNul(`command[${index}]`, arg);
    total += bytes + 1;
  }
  atMost("command", total, MAX_EXEC_ARGV_BYTES, "bytes");
  atMost("workdir", request.workdir.length, MAX_WORKDIR_LENGTH, "characters");
  checkNoNul("workdir", request.workdir);
  if (request.workdir !== "" && !request.workdir.startsWith("/")) throw invalid("workdir", "must be an absolute path");
  atMost("stdin", request.stdin.length, MAX_EXEC_STDIN_BYTES, "bytes");
  checkExecEnvironment(request.environment);
  const timeout = request.executionTimeout;
  if (timeout !== undefined && durationMs(timeout) < 0) throw invalid("execution_timeout", "must not be negative");
}

function checkExecEnvironment(environment: Readonly<Record<string, string>>): void {
  let total = 0;
  for (const [name, value] of Object.entries(environment)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw invalid("environment", `'${name}' is not a variable name`);
    checkNoNul(`environment[${name}]`, value);
    const bytes = Buffer.byteLength(value);
    atMost(`environment[${name}]`, bytes, MAX_ENVIRONMENT_STRING - name.length - 2, "bytes");
    total += name.length + bytes + 2;
  }
  atMost("environment", total, MAX_EXEC_ENVIRONMENT_BYTES, "bytes");
}
