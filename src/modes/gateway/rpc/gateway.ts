import { create } from "@bufbuild/protobuf";
import { OpenShellError } from "../../../error.ts";
import { SandboxSpecSchema, ServiceStatus } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { VERSION } from "../../../version.ts";
import { principalKey } from "../auth/principal.ts";
import type { GatewayContext } from "../context.ts";
import type { Handlers } from "./service-impl.ts";

/** Health and identity of the gateway, and who is calling. */
export function gatewayHandlers({ driver }: GatewayContext): Handlers {
  /** Whether sandboxes with such a limit are taken here. */
  const limits = (limit: "cpu" | "memory", value: string): { limitSupported: boolean } => {
    try {
      driver.admit({ spec: create(SandboxSpecSchema, { template: { resources: { limits: { [limit]: value } } } }) });
      return { limitSupported: true };
    } catch {
      return { limitSupported: false };
    }
  };
  return {
    health: () => ({ status: ServiceStatus.HEALTHY, version: VERSION }),
    getGatewayInfo: () => ({
      status: ServiceStatus.HEALTHY,
      gatewayVersion: VERSION,
      computeDrivers: [
        {
          name: driver.name,
          capabilities: {
            driverName: driver.name,
            driverVersion: VERSION,
            resourceCapabilities: { cpu: limits("cpu", "1"), memory: limits("memory", "1Gi"), gpu: {} },
          },
        },
      ],
    }),
    getCurrentUser(_request, context) {
      const principal = context.values.get(principalKey);
      if (principal.kind !== "user") throw new OpenShellError("permission_denied", "the caller is not a user");
      return {
        subject: principal.subject,
        displayName: principal.subject,
        roles: ["admin", "platform_admin", ...(principal.operator ? ["operator"] : [])],
        scopes: ["openshell:all"],
        identityProvider: principal.provider,
      };
    },
  };
}
