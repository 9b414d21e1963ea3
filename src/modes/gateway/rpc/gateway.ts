import { OpenShellError } from "../../../error.ts";
import { ServiceStatus } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { VERSION } from "../../../version.ts";
import { principalKey } from "../auth/principal.ts";
import type { GatewayContext } from "../context.ts";
import type { Handlers } from "./service-impl.ts";

/** Health and identity of the gateway, and who is calling. */
export function gatewayHandlers({ driver }: GatewayContext): Handlers {
  return {
    health: () => ({ status: ServiceStatus.HEALTHY, version: VERSION }),
    getGatewayInfo: () => ({
      status: ServiceStatus.HEALTHY,
      gatewayVersion: VERSION,
      computeDrivers: [{ name: driver.name, capabilities: { driverName: driver.name, driverVersion: VERSION } }],
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
