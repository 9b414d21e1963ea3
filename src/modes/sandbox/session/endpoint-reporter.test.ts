import { expect, test } from "bun:test";
import { parsePolicyYaml } from "../../../policy/yaml.ts";
import { EndpointResult, type ReportEndpointStatusRequest } from "../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { answerResult, EndpointReporter } from "./endpoint-reporter.ts";

const { HTTP_RESPONSE_RECEIVED, NO_OBSERVED_EXCHANGE, UPSTREAM_REJECTED } = EndpointResult;

test("an answer is an answer; 401, 403 and 407 are about who asks", () => {
  for (const status of [101, 200, 204, 302, 404, 500, 503])
    expect(answerResult(status)).toEqual({ result: HTTP_RESPONSE_RECEIVED, code: "" });
  for (const status of [401, 403, 407]) expect(answerResult(status)).toEqual({ result: UPSTREAM_REJECTED, code: `http_${status}` });
});

test("a further connection does not hide what was answered before", async () => {
  const policy = parsePolicyYaml(
    "version: 1\nnetwork_policies:\n  web:\n    endpoints: [{ host: a.example, port: 443 }, { host: b.example, port: 443 }]\n    binaries: [{ path: /usr/bin/curl }]\n",
    { source: "test" },
  );
  const reported = Promise.withResolvers<Partial<ReportEndpointStatusRequest>>();
  const client = {
    reportEndpointStatus: async (request: unknown) => {
      reported.resolve(request as Partial<ReportEndpointStatusRequest>);
      return {} as never;
    },
  };
  const reporter = new EndpointReporter({ client, sandboxId: "x", current: () => ({ policy, hash: "h", environmentRevision: 0n }) });
  const opened = (host: string) =>
    reporter.observe({
      ...{ kind: "network", time: 0, severity: "informational", activity: "open", action: "allowed", protocol: "tcp" },
      ...{ host, port: 443, policy: "web", engine: "opa" },
    } as const);
  opened("a.example");
  reporter.answered({ host: "a.example", port: 443, policy: "web", status: 200 });
  opened("a.example");
  opened("b.example");
  reporter.session = "s";
  const { observations } = await reported.promise;
  reporter.stop();
  expect(observations?.map(({ endpointId, result }) => [endpointId, result])).toEqual([
    ["web/0", HTTP_RESPONSE_RECEIVED],
    ["web/1", NO_OBSERVED_EXCHANGE],
  ]);
});
