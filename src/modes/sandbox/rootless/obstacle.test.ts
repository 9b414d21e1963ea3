import { expect, test } from "bun:test";
import { userNamespaceFailures } from "../../../linux/user-namespace.ts";
import { explainObstacle } from "./obstacle.ts";

const EPERM = 1;
const ENOSPC = 28;
const { create, map } = userNamespaceFailures;

test.each([
  [create, EPERM, { "kernel.unprivileged_userns_clone": "0" }, "sysctl -w kernel.unprivileged_userns_clone=1"],
  [create, ENOSPC, { "user.max_user_namespaces": "0" }, "sysctl -w user.max_user_namespaces=15000"],
  [create, ENOSPC, { "user.max_user_namespaces": "63000" }, "raise the sysctl user.max_user_namespaces"],
  [map, EPERM, { "kernel.apparmor_restrict_unprivileged_userns": "1" }, "AppArmor profile"],
  [create, EPERM, {}, "seccomp profile"],
])("%s fails with %d and %p: the remedy says %s", (step, errno, settings: Record<string, string>, expected) => {
  const { problem, remedy } = explainObstacle(step, errno, (name) => settings[name]);
  expect(problem).toContain(step);
  expect(remedy).toContain(expected);
  expect(remedy).toContain("as root");
});
