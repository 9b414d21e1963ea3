/** The sandbox, by position; the last used one when it is left out. */
export const optionalName = {
  type: "positional",
  required: false,
  valueHint: "NAME",
  description: "Sandbox; the last one used when left out",
} as const;

/** Seconds; an hour is more than any revision or start takes. */
const MAX_WAIT_SECONDS = 3600;

/** `--timeout` of commands that wait for the supervisor's acknowledgement. */
export const waitTimeout = {
  type: "string",
  integer: { min: 1, max: MAX_WAIT_SECONDS, default: 60 },
  valueHint: "SECONDS",
  description: "Give up waiting after this long",
} as const;
