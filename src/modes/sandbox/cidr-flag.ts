import { OpenShellError } from "../../error.ts";
import { prefixBits } from "../../policy/allowed-ips.ts";

/** One value of --trusted-cidr: a range or a single address. A word that is neither would silently trust nothing. */
export function parseTrustedCidr(flag: string): string {
  if (prefixBits(flag) === undefined) {
    throw new OpenShellError("invalid_argument", `--trusted-cidr '${flag}' is not an address range`, {
      next: "example: --trusted-cidr 10.0.0.0/8",
    });
  }
  return flag;
}
