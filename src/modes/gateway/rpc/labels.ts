import { OpenShellError } from "../../../error.ts";

/** Pairs that one selector may name. */
const MAX_PAIRS = 64;

/** `k=v,k2=v2`: all must be equal; the empty selector matches everything. */
export function labelSelector(text: string): (labels: Readonly<Record<string, string>>) => boolean {
  if (text === "") return () => true;
  const pairs = text.split(",").map((pair) => {
    const [key, value, ...more] = pair.split("=").map((part) => part.trim());
    if (key === undefined || key === "" || value === undefined || more.length > 0) throw refused(`'${pair}' is not of the form key=value`);
    return [key, value] as const;
  });
  if (pairs.length > MAX_PAIRS) throw refused(`${pairs.length} pairs, at most ${MAX_PAIRS} are accepted`);
  return (labels) => pairs.every(([key, value]) => labels[key] === value);
}

function refused(message: string): OpenShellError {
  return new OpenShellError("invalid_argument", `label_selector: ${message}`, { violations: [{ field: "label_selector", message }] });
}
