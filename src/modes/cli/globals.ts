/** Flags that every command takes. */
export const globalArgs = {
  gateway: { type: "string", alias: "g", env: "OPENSHELL_GATEWAY", valueHint: "NAME", description: "Registered gateway to use" },
  "gateway-endpoint": {
    type: "string",
    env: "OPENSHELL_GATEWAY_ENDPOINT",
    valueHint: "URL",
    description: "Gateway address, without registration",
  },
  // Of published clients. Nothing is sent to a gateway whose certificate does not hold, whoever asks.
  "gateway-insecure": {
    type: "boolean",
    hidden: true,
    env: "OPENSHELL_GATEWAY_INSECURE",
    description: "Changes nothing: certificates are always verified",
  },
  workspace: {
    type: "string",
    env: "OPENSHELL_WORKSPACE",
    valueHint: "NAME",
    default: "default",
    description: "Workspace of the sandboxes",
  },
  verbose: { type: "boolean", alias: "v", description: "Say more of an error: its code and its cause" },
  version: { type: "boolean", alias: "V", local: true, description: "Show the version" },
} as const;
