import type { ProviderProfile } from "../../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { BUILTIN_PROFILES } from "./builtin.ts";

/** Other names of kinds of providers: earlier ones, and the programs that belong to them. */
const ALIASES: Readonly<Record<string, string>> = {
  claude: "claude-code",
  claude_code: "claude-code",
  gh: "github",
  glab: "gitlab",
  vertex: "google-vertex-ai",
};

const byId: ReadonlyMap<string, ProviderProfile> = new Map(BUILTIN_PROFILES.map((profile) => [profile.id, profile]));

/** The profile of a kind of provider by its name or another name of it; undefined for an unknown kind. */
export function findProfile(type: string): ProviderProfile | undefined {
  const id = type.toLowerCase();
  return byId.get(ALIASES[id] ?? id);
}

/** Every kind in the order of the names. */
export function allProfiles(): readonly ProviderProfile[] {
  return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
