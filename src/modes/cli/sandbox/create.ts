import { defineCommand } from "../../../command/define.ts";
import { type OutputFormat, outputArg, print } from "../../../command/output.ts";
import { printable } from "../../../command/printable.ts";
import { EXIT_OK } from "../../../command/report.ts";
import { pairsValue } from "../../../command/values.ts";
import { OpenShellError } from "../../../error.ts";
import { parseMount } from "../../../mount-flag.ts";
import type { SandboxPolicy } from "../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { type Sandbox, SandboxPhase } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { checkSandboxName } from "../../../sandbox-name.ts";
import { CALL_TIMEOUT_MS, withGateway } from "../connection/gateway.ts";
import { editorArg, requireEditor } from "../enter/editor.ts";
import { offerGateway } from "../gateways/offer.ts";
import { rememberSandbox } from "../last-sandbox.ts";
import { readPolicyProto } from "../policy/file.ts";
import { beforeInterrupt, followMain } from "./follow.ts";
import { warnOfMade } from "./made-configuration.ts";
import { openProgress, type Progress } from "./progress.ts";
import { sandboxData } from "./view.ts";
import { mainProcessEnded, provisionTimeout, sandboxFailure, watchUntilSettled } from "./wait.ts";

const PATH = ["openshell", "sandbox", "create"];

/** `LOCAL[:DEST]`; what follows the last colon is a destination when it looks like a path of the sandbox. */
function uploadOf(text: string): { readonly local: string; readonly destination: string | undefined } {
  const cut = text.lastIndexOf(":");
  const destination = text.slice(cut + 1);
  return cut > 0 && destination.startsWith("/") ? { local: text.slice(0, cut), destination } : { local: text, destination: undefined };
}

/** The policy of `--policy` (or its variable), or of templates; none: the one found in the sandbox. A template that was asked for wins over the variable. */
async function chosenPolicy(
  args: { readonly policy: string | undefined; readonly "policy-template": readonly string[] },
  env: Readonly<Record<string, string | undefined>>,
): Promise<SandboxPolicy | undefined> {
  const names = args["policy-template"];
  if (names.length === 0) return args.policy === undefined ? undefined : readPolicyProto(args.policy);
  if (args.policy !== undefined && args.policy !== env["OPENSHELL_SANDBOX_POLICY"]) {
    throw new OpenShellError("invalid_argument", "--policy and --policy-template both give a policy", {
      next: "openshell policy show-template NAME > policy.yaml, and add to it",
    });
  }
  const { templatePolicy } = await import("../policy/templates.ts");
  const { policyToProto } = await import("../../../policy/proto.ts");
  return policyToProto(templatePolicy(names.join(","), env));
}

/** Limits as Kubernetes writes them, which is what the API takes. */
function resources({ cpu, memory }: { readonly cpu: string | undefined; readonly memory: string | undefined }) {
  const limits = { ...(cpu === undefined ? {} : { cpu }), ...(memory === undefined ? {} : { memory }) };
  return Object.keys(limits).length === 0 ? {} : { template: { resources: { limits } } };
}

function sayMainProcess(sandbox: Sandbox, progress: Progress): number {
  const code = sandbox.status?.exitCode ?? EXIT_OK;
  progress.note(`the main process has ended with exit code ${code}`);
  return code;
}

export default defineCommand({
  meta: {
    name: "create",
    description: "Create a sandbox, and run a command in it as its main process",
    examples: [
      "openshell sandbox create --name work --policy policy.yaml -- claude",
      "openshell sandbox create --name lab            # no main process: use connect or exec",
      "openshell sandbox create --name lab --upload ./project --forward 8080",
      "openshell sandbox create --no-keep -- make test   # gone when the command ends",
    ],
  },
  args: {
    name: { type: "string", valueHint: "NAME", description: "Name; one is made up when left out" },
    policy: {
      type: "string",
      env: "OPENSHELL_SANDBOX_POLICY",
      valueHint: "FILE",
      description: "Policy to enforce; else the one found in the sandbox",
    },
    "policy-template": {
      type: "string",
      multiple: true,
      valueHint: "NAME[,NAME]",
      description: "Policy made of these templates; see policy templates",
    },
    cpu: { type: "string", valueHint: "N", description: "Processors that its programs get at most: 2, 0.5 or 500m" },
    memory: { type: "string", valueHint: "SIZE", description: "Memory of its programs at most: 512Mi, 2G" },
    pids: {
      type: "string",
      integer: { min: 8, max: 4_194_304 },
      valueHint: "N",
      description: "Processes and threads of its programs at most",
    },
    yes: { type: "boolean", alias: "y", description: "Start a gateway when none runs here, without asking" },
    replace: { type: "boolean", description: "Delete a sandbox of this name first" },
    provider: { type: "string", multiple: true, valueHint: "PROVIDER", description: "Provider whose credentials the sandbox may use" },
    "auto-providers": {
      type: "boolean",
      description: "Give it the provider of its command, made of the variables here if need be",
      negativeDescription: "--no-auto-providers does not, which is the default",
    },
    // Of published clients, whose warnings about credentials ours does not have.
    "credential-warnings": {
      type: "boolean",
      default: true,
      hidden: true,
      negativeDescription: "--no-credential-warnings changes nothing",
    },
    // Of published clients: who approves what was denied.
    "approval-mode": {
      type: "enum",
      options: ["manual", "auto"],
      default: "manual",
      hidden: true,
      description: "manual: a person approves",
    },
    label: { type: "string", multiple: true, valueHint: "KEY=VALUE", description: "Label" },
    env: { type: "string", multiple: true, valueHint: "KEY=VALUE", description: "Variable for programs in the sandbox" },
    mount: {
      type: "string",
      multiple: true,
      valueHint: "SRC[:DST][:ro|rw]",
      description: "A path of the gateway's machine that the sandbox sees; its operator must allow it",
    },
    "trusted-cidr": {
      type: "string",
      multiple: true,
      valueHint: "CIDR",
      description: "Private addresses that an allowed name may resolve to",
    },
    keep: {
      type: "boolean",
      default: true,
      description: "Keep the sandbox when the main process ends",
      negativeDescription: "--no-keep deletes it",
    },
    wait: {
      type: "boolean",
      default: true,
      description: "Wait until the sandbox is ready",
      negativeDescription: "--no-wait returns at once",
    },
    detach: { type: "boolean", description: "Do not follow the main process" },
    tty: {
      type: "boolean",
      description: "Give the main process a terminal, and join it to this one (default: when this is one)",
      negativeDescription: "--no-tty gives it none",
    },
    upload: { type: "string", multiple: true, valueHint: "LOCAL[:DEST]", description: "Copy files into it, as sandbox upload does" },
    "git-ignore": {
      type: "boolean",
      default: true,
      description: "Leave out of --upload what .gitignore names",
      negativeDescription: "--no-git-ignore copies everything",
    },
    editor: editorArg,
    forward: { type: "string", valueHint: "PORT", description: "Forward a port in the background, as forward start -d does" },
    output: outputArg,
    command: {
      type: "positional",
      multiple: true,
      required: false,
      terminator: "required",
      valueHint: "COMMAND",
      description: "Main process",
    },
  },
  async run({ args, terminal, globals }) {
    if (args.name !== undefined) checkSandboxName(args.name);
    if (args["approval-mode"] === "auto")
      throw new OpenShellError("invalid_argument", "--approval-mode auto is not available: nothing is approved without a person", {
        next: "leave it out; openshell sandbox draft shows what was denied, openshell sandbox draft approve allows it",
      });
    const labels = pairsValue("--label", args.label, PATH);
    const environment = pairsValue("--env", args.env, PATH);
    const idleSeconds = provisionTimeout(terminal.env, PATH);
    if (!args.keep && args.command.length === 0) {
      throw new OpenShellError("invalid_argument", "--no-keep needs a command: without one the sandbox never ends", {
        next: `${PATH.join(" ")} --no-keep -- COMMAND`,
      });
    }
    if (!args.keep && (args.detach || !args.wait)) {
      throw new OpenShellError("invalid_argument", "--no-keep follows the command to its end, it cannot go with --detach or --no-wait");
    }
    if (args.upload.length > 0 && (args.command.length > 0 || !args.wait)) {
      throw new OpenShellError("invalid_argument", "--upload copies when the sandbox is ready, it cannot go with a command or --no-wait", {
        next: "create it without one, upload, then: openshell sandbox exec",
      });
    }
    if (args.forward !== undefined && !(args.keep && args.wait)) {
      throw new OpenShellError("invalid_argument", "--forward needs a sandbox that stays, it cannot go with --no-keep or --no-wait");
    }
    if (args.editor !== undefined) {
      if (!args.keep || !args.wait || args.detach || args.tty)
        throw new OpenShellError("invalid_argument", "--editor cannot go with --no-keep, --no-wait, --detach or --tty");
      requireEditor(args.editor, terminal.env);
    }
    // Who asks for the sandbox as data wants that, and not the output of its command.
    const joins =
      args.command.length > 0 && args.wait && !args.detach && args.editor === undefined && (args.output === "table" || !args.keep);
    const tty = args.tty ?? (joins && terminal.stdinIsTerminal && terminal.stdoutIsTerminal);
    if (args.replace && args.name === undefined) throw new OpenShellError("invalid_argument", "--replace needs --name");
    const policy = await chosenPolicy(args, terminal.env);
    await offerGateway({ globals, terminal }, args.yes ?? false);
    return withGateway({ globals, terminal }, async (gateway) => {
      const progress = openProgress(terminal);
      let name = args.name ?? "";
      try {
        progress.step("Requesting sandbox");
        const providers = [...args.provider];
        if (args["auto-providers"]) {
          const { providerForCommand } = await import("../provider/auto.ts");
          const wanted = await providerForCommand(args.command, gateway, terminal);
          if (wanted !== undefined && !providers.includes(wanted)) providers.push(wanted);
        }
        const spec = {
          environment,
          command: [...args.command],
          providers,
          tty,
          mounts: args.mount.map(parseMount),
          trustedCidrs: [...args["trusted-cidr"]],
          keep: args.keep,
          pidsLimit: args.pids ?? 0,
          ...resources(args),
          ...(policy === undefined ? {} : { policy }),
        };
        const remove = async () => {
          const request = { workspaceScope: gateway.scope, name, allowMissing: true };
          const { madeConfiguration } = await gateway.client.deleteSandbox(request, { timeoutMs: CALL_TIMEOUT_MS });
          warnOfMade(madeConfiguration, terminal);
        };
        if (args.replace) await remove();
        const answer = await gateway.client.createSandbox(
          { workspaceScope: gateway.scope, name, labels, spec, awaitMainProcessAttachment: joins && !(tty && args.keep) },
          { timeoutMs: CALL_TIMEOUT_MS },
        );
        let sandbox = answer.sandbox;
        name = sandbox?.metadata?.name ?? name;
        if (sandbox === undefined) throw new OpenShellError("internal", "the gateway answered without a sandbox");
        rememberSandbox(name, gateway, terminal);
        let code = EXIT_OK;
        // Nobody else would come back for what a sandbox does that is not kept.
        beforeInterrupt(() => {
          if (!args.keep) return remove();
          terminal.err(`\nSandbox '${printable(name)}' goes on: openshell sandbox connect ${printable(name)}\n`);
          return undefined;
        });
        if (args.wait) {
          sandbox = await watchUntilSettled(name, gateway, progress, idleSeconds);
          if (sandbox.status?.phase === SandboxPhase.ERROR && !mainProcessEnded(sandbox)) {
            if (!args.keep) await remove();
            throw sandboxFailure(name, sandbox);
          }
          progress.done();
          for (const given of args.upload) {
            const { upload } = await import("../copy/upload.ts");
            await upload(gateway, terminal, { sandbox: name, ...uploadOf(given), gitIgnore: args["git-ignore"] });
          }
          if (args.forward !== undefined) {
            const { forwardInBackground } = await import("../forward/command.ts");
            await forwardInBackground({ globals, terminal }, name, args.forward);
          }
          if (args.editor !== undefined) {
            const { openEditor } = await import("../enter/editor.ts");
            return await openEditor(args.editor, name, gateway, { globals, terminal });
          }
          if (joins) {
            const { joinMain } = await import("../enter/main-terminal.ts");
            code = tty ? await joinMain(gateway, { globals, terminal }, name, args.keep) : await followMain(name, gateway, terminal);
            if (!args.keep) await remove();
            else if (!tty)
              terminal.err(
                `The main process has ended with exit code ${code}; '${printable(name)}' stays: openshell sandbox connect ${printable(name)}\n`,
              );
            return code;
          }
          if (mainProcessEnded(sandbox)) code = sayMainProcess(sandbox, progress);
        } else progress.done();
        const created = sandbox;
        await print(
          args.output as OutputFormat,
          {
            data: sandboxData(created),
            names: [name],
            table: () =>
              `${terminal.style.green("✓")} Created sandbox '${printable(name)}'\n  openshell sandbox exec -n ${printable(name)} -- COMMAND\n`,
          },
          terminal,
        );
        return code;
      } catch (reason) {
        progress.failed();
        throw reason;
      }
    });
  },
});
