/** How a confined program starts. Each step needs what the one before has left in place; a test reads this list. */
export const launchOrder = [
  "enter-namespaces",
  "reset-signals",
  "close-descriptors",
  "open-landlock-paths",
  "drop-bounding-set",
  "set-ids",
  "drop-capabilities",
  "no-new-privs",
  "landlock",
  "seccomp",
  "exec",
] as const;
export type LaunchStep = (typeof launchOrder)[number];
