import { hasCapability } from "../../../linux/capabilities.ts";
import { findObstacle } from "../rootless/enter.ts";
import type { Probe } from "./finding.ts";

/** Only an ordinary user needs them; root builds boxes without. */
export const userNamespaces: Probe = {
  feature: "user-namespaces",
  meaning: "an ordinary user gets the right to make the other namespaces",
  otherwise: "missing",
  run() {
    if (hasCapability("sys_admin")) return "not needed by root";
    const obstacle = findObstacle();
    if (obstacle === undefined) return "made one, with the own user mapped, and used it";
    return { state: "missing", found: obstacle.problem, remedy: obstacle.remedy };
  },
};
