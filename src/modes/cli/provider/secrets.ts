import { usageError } from "../../../command/usage-error.ts";
import { OpenShellError } from "../../../error.ts";
import type { ProviderProfile } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `KEY=VALUE` words, or `KEY` alone, whose value is the variable of that name: a value on a command line is for every user of the machine to
 * see, a variable is not.
 */
export function credentialsOf(words: readonly string[], env: Environment, path: readonly string[]): Record<string, string> {
  const credentials: Record<string, string> = {};
  for (const word of words) {
    const at = word.indexOf("=");
    const key = at === -1 ? word : word.slice(0, at);
    if (key === "") throw usageError("'--credential' is without a name, expected KEY or KEY=VALUE", path);
    if (Object.hasOwn(credentials, key)) throw usageError(`'--credential' names '${key}' twice`, path);
    const value = at === -1 ? env[key] : word.slice(at + 1);
    if (!value) {
      throw new OpenShellError("invalid_argument", at === -1 ? `the variable ${key} is not set` : `the credential ${key} is empty`, {
        next: `export ${key}=…, then --credential ${key}`,
      });
    }
    credentials[key] = value;
  }
  return credentials;
}

/** The variables that programs of this kind read, as far as they are set here. Throws `not_found` naming all when none is. */
export function discover({ id, credentials, discovery }: ProviderProfile, env: Environment): Record<string, string> {
  const wanted = credentials.filter(({ name }) => discovery?.credentials.includes(name) ?? false).flatMap(({ envVars }) => envVars);
  if (wanted.length === 0) {
    throw new OpenShellError("invalid_argument", `nothing is known of where credentials of type '${id}' are kept`, {
      next: "give them: --credential KEY",
    });
  }
  const found = Object.fromEntries(wanted.flatMap((name) => (env[name] ? [[name, env[name]] as const] : [])));
  if (Object.keys(found).length > 0) return found as Record<string, string>;
  throw new OpenShellError("not_found", `none of the variables of '${id}' is set: ${wanted.join(", ")}`, {
    next: `export ${wanted[0]}=…, or --credential KEY`,
  });
}
