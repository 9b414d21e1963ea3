import { ownEnvironment, selfCommand } from "../../../../reexec.ts";

/** The ids that every sandbox of an ordinary user's gateway runs as: that user's. Undefined for root, who gives each its own. */
export function ordinaryUser(): { readonly uid: number; readonly gid: number } | undefined {
  const uid = process.getuid?.() ?? 0;
  return uid === 0 ? undefined : { uid, gid: process.getgid?.() ?? 0 };
}

/** What `openshell doctor` says in one line when no sandbox can start here; undefined when one can. Tries every feature, so it takes a moment. */
export async function whyNoSandbox(): Promise<string | undefined> {
  const child = Bun.spawn({
    cmd: [...selfCommand(), "doctor", "-o", "json"],
    cwd: "/",
    env: ownEnvironment(),
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [text, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  if (code === 0) return undefined;
  try {
    return (JSON.parse(text) as { summary: string }).summary;
  } catch {
    return "no sandbox can start here; `openshell doctor` says why";
  }
}
