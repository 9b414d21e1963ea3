import { type Command, defineCommand, lazyCommand } from "../../../command/define.ts";

/** `policy …` */
export const policy: Command = defineCommand({
  meta: {
    name: "policy",
    description: "Policies: what sandboxes may do",
    examples: ["openshell policy get work", "openshell policy set work --policy policy.yaml --wait"],
  },
  subCommands: {
    get: lazyCommand({ description: "Show the policy of a sandbox" }, async () => (await import("./get.ts")).default),
    set: lazyCommand({ description: "Replace the policy of a running sandbox" }, async () => (await import("./set.ts")).default),
    update: lazyCommand({ description: "Change parts of a network policy" }, async () => (await import("./update.ts")).default),
    diff: lazyCommand({ description: "Compare revisions, or a policy with a file" }, async () => (await import("./diff.ts")).default),
    delete: lazyCommand({ description: "Delete the policy for all sandboxes" }, async () => (await import("./delete.ts")).default),
    list: lazyCommand({ description: "List the revisions of a policy" }, async () => (await import("./list.ts")).default),
    templates: lazyCommand(
      { description: "List the policies that come with OpenShell" },
      async () => (await import("./show-templates.ts")).templates,
    ),
    "show-template": lazyCommand(
      { description: "Print a template as a policy file" },
      async () => (await import("./show-templates.ts")).showTemplate,
    ),
    validate: lazyCommand({ description: "Check a policy file" }, async () => (await import("./validate.ts")).default),
    explain: lazyCommand(
      { description: "Say whether a program may connect, by which rule, or what is missing" },
      async () => (await import("./explain.ts")).default,
    ),
  },
});
