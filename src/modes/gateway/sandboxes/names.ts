import { randomInt } from "node:crypto";
import { OpenShellError } from "../../../error.ts";

/** A DNS label (RFC 1123): the name is part of host names. */
export const MAX_NAME_LENGTH = 63;

/** Words that the command line reads as something else after `sandbox draft` (decision 26). */
export const RESERVED_NAMES: ReadonlySet<string> = new Set(["approve", "reject", "edit", "undo", "retry", "clear", "history"]);

/** Throws `invalid_argument` unless the name can be a sandbox's. */
export function validateName(name: string): void {
  if (name.length > MAX_NAME_LENGTH) throw refused(`name is ${name.length} characters, at most ${MAX_NAME_LENGTH} are accepted`);
  if (!/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name))
    throw refused("name must be lower-case letters, digits and dashes, with a letter or digit at both ends");
  if (RESERVED_NAMES.has(name)) throw refused(`'${name}' is a word of the command line and cannot be a sandbox's name`);
}

function refused(message: string): OpenShellError {
  return new OpenShellError("invalid_argument", message, { violations: [{ field: "name", message }] });
}

const FIRST =
  "amber apt azure bold brave brisk calm clear clever cosy crisp deft eager early even fair fleet fond free fresh gentle glad grand green happy hardy keen kind lively lucky mellow merry mild neat nimble noble open plain proud quick quiet rapid ready royal safe sharp silver smart smooth snug solid steady still sunny sure swift tidy true vivid warm wise witty young zesty".split(
    " ",
  );
const SECOND =
  "alder ant badger bear beaver birch bison bream buck cedar cod crane crow deer dove duck eagle elk elm falcon fern finch fir fox frog gecko goose gull hare hawk hazel heron ibex jay kite koala lark lemur lily lion lynx maple marten mole moose moth newt oak orca otter owl panda pike pine puffin quail raven robin rook seal swan tern trout vole wren".split(
    " ",
  );

/** Two words, and a number when that pair is taken. */
export function petname(isTaken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const pair = `${FIRST[randomInt(FIRST.length)]}-${SECOND[randomInt(SECOND.length)]}`;
    const name = attempt < 4 ? pair : `${pair}-${randomInt(10_000, 100_000)}`;
    if (!isTaken(name)) return name;
  }
}
