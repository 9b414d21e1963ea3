import { statSync } from "node:fs";
import { isCompiled } from "../../../reexec.ts";

/** The file of this program; during development that is the Bun of the machine, which an agent may use. */
const ownFile = isCompiled ? statSync("/proc/self/exe", { bigint: true }) : undefined;

/** True for our own executable, under whatever path a mount shows it: it can be steered by its environment, so no rule may mean it. */
export function isOwnExecutable(file: { readonly device: string; readonly inode: string }): boolean {
  return ownFile !== undefined && file.device === String(ownFile.dev) && file.inode === String(ownFile.ino);
}
