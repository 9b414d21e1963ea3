import type { Violation } from "../error.ts";
import { fieldPath, type Path } from "./field-path.ts";
import type { Binary } from "./model.ts";
import { validatePath } from "./validate-filesystem.ts";

/** An absolute path, or a pattern with at most one `**` and one `*` per segment: what the rules can decide exactly. */
export function* validateBinary({ path }: Binary, at: Path): Generator<Violation> {
  const field = fieldPath([...at, "path"]);
  yield* validatePath(path, field);
  if (!path.startsWith("/")) return;
  // The kernel reports executables in their shortest form; any other spelling would never match, and nobody would know why.
  if (path.length > 1 && (path.includes("//") || path.endsWith("/") || path.split("/").includes("."))) {
    yield { field, message: `'${path}' is not in its shortest form` };
  }
  if (path === "/") yield { field, message: "'/' is not a program" };
  if (!path.includes("*")) return;
  const segments = path.split("/");
  if (/[?[\]{}\\]/.test(path)) yield { field, message: `'${path}' mixes * with ? [ ] { } or \\: only * and ** are patterns` };
  if (segments.filter((segment) => segment === "**").length > 1) yield { field, message: `'${path}' has more than one **` };
  if (segments.some((segment) => segment !== "**" && segment.split("*").length > 2)) {
    yield { field, message: `'${path}' has more than one * in a segment (** stands alone in a segment)` };
  }
}
