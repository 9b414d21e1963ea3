import { describe, expect, test } from "bun:test";
import { PolicyEngine } from "../../../../engine/policy-engine.ts";
import { parsePolicyYaml } from "../../../../policy/yaml.ts";
import { MessageGate, type TextRewrite } from "./message-gate.ts";
import { TextMessage } from "./text-message.ts";

function load(engine: PolicyEngine, endpoints: string): void {
  const text = `version: 1\nnetwork_policies:\n  ws:\n    endpoints:\n${endpoints}\n    binaries: [{ path: /usr/bin/node }]\n`;
  engine.load(parsePolicyYaml(text, { source: "test" }));
}

function open(endpoints: string, path = "/chat", rewriteText?: (text: string) => TextRewrite) {
  const engine = new PolicyEngine();
  load(engine, endpoints);
  const events: object[] = [];
  const gate = new MessageGate({
    upgrade: { path, query: {} },
    generation: () => engine.generation,
    ask: (request) => engine.decideRequest({ host: "ws.example.com", port: 443, exe: "/usr/bin/node", ancestors: [], request }),
    stillAllowed: () => true,
    emit: (event) => events.push(event),
    rewriteText,
  });
  const says = (message: unknown) => {
    const verdict = gate.judge(
      message === undefined ? undefined : new TextMessage(Buffer.from(typeof message === "string" ? message : JSON.stringify(message))),
    );
    return verdict.allowed ? (verdict.text ?? "allowed") : verdict.reason;
  };
  return { engine, events, says };
}

const endpoint = (more: string) => `      - { host: ws.example.com, port: 443, protocol: websocket, enforcement: enforce, ${more} }`;
const subscribe = (query: string, type = "subscribe") => ({ id: "1", type, payload: { query } });

describe("case-74 text messages", () => {
  test("by preset; binary ones are decided as texts are", () => {
    const { says } = open(endpoint("access: read-write"));
    expect([says("hi"), says(undefined)]).toEqual(["allowed", "allowed"]);
    const reading = open(endpoint("access: read-only"));
    expect(reading.says("hi")).toContain("WEBSOCKET_TEXT /chat not permitted");
    expect(reading.says(undefined)).toContain("WEBSOCKET_TEXT /chat not permitted");
    expect(reading.events).toMatchObject([
      { action: "denied", method: "WEBSOCKET_TEXT", stage: "l7_deny", code: "request_not_allowed", policy: "ws" },
      { method: "WEBSOCKET_BINARY" },
    ]);
  });

  test("each under the policy of its moment", () => {
    const { engine, says } = open(endpoint("access: read-only"));
    expect(says("hi")).not.toBe("allowed");
    load(engine, endpoint("access: full"));
    expect(says("hi")).toBe("allowed");
    load(engine, endpoint("rules: [{ allow: { operation_type: query } }]"));
    expect(says("hi")).toContain("JSON");
    load(engine, endpoint("access: full").replaceAll("ws.", "other."));
    expect(says("hi")).not.toBe("allowed");
  });

  test("under audit they pass and are told of", () => {
    const { events, says } = open(endpoint("access: read-only").replace("enforcement: enforce", "enforcement: audit"));
    expect(says("hi")).toBe("allowed");
    expect(events).toMatchObject([{ action: "allowed", stage: "l7_audit", code: "request_not_allowed" }]);
  });

  test("another text may go on, or the message is refused for it; what policy refuses is not rewritten", () => {
    const rewrite = (text: string) => (text === "bad" ? { refused: "unknown placeholder" } : { text: `${text}!` });
    const { says } = open(endpoint("access: full"), "/chat", rewrite);
    expect([says("hi"), says("bad"), says(undefined)]).toEqual(["hi!", "unknown placeholder", "allowed"]);
    expect(open(endpoint("access: read-only"), "/chat", rewrite).says("hi")).not.toContain("!");
  });
});

describe("case-74 GraphQL in messages", () => {
  const rules = endpoint("rules: [{ allow: { operation_type: query } }, { allow: { operation_type: subscription, fields: [news] } }]");
  test("operations are decided, control messages pass, others do not", () => {
    const { says } = open(rules);
    for (const type of ["connection_init", "ping", "pong", "complete", "stop", "connection_terminate"])
      expect(says({ type })).toBe("allowed");
    expect(says(subscribe("{ me }"))).toBe("allowed");
    expect(says(subscribe("subscription { news }", "start"))).toBe("allowed");
    expect(says(subscribe("subscription { news secrets }"))).toContain("subscription news+secrets");
    expect(says(subscribe("mutation { me }"))).toContain("mutation me");
    for (const other of [{ type: "SUBSCRIBE", payload: { query: "{ me }" } }, { query: "{ me }" }, [subscribe("{ me }")], undefined, 7])
      expect(says(other as never)).toContain("not permitted");
  });

  test("what cannot be read is refused, under audit too", () => {
    const { says, events } = open(rules.replace("enforcement: enforce", "enforcement: audit"));
    for (const [message, reason] of [
      ["hello", "JSON"],
      ['{"type":"ping","type":"subscribe"}', "occurs twice"],
      ['{"type":"ping","Type":"subscribe","payload":{"query":"mutation{a}"}}', "spelled otherwise"],
      [JSON.stringify(subscribe("{ me ")), "GraphQL document"],
      [JSON.stringify({ type: "subscribe" }), "without payload"],
      [JSON.stringify(subscribe(`{ me(a: "${"x".repeat(70_000)}") }`)), "at most 65536"],
    ] as const)
      expect(says(message)).toContain(reason);
    expect(says(subscribe("mutation { me }"))).toBe("allowed");
    expect(events.at(-1)).toMatchObject({ stage: "l7_audit" });
  });

  test("rules of another path do not make messages GraphQL", () => {
    const two = `${endpoint("path: /graphql, rules: [{ allow: { operation_type: query } }]")}\n${endpoint("path: /chat, access: full")}`;
    expect(open(two, "/chat").says("hello")).toBe("allowed");
    expect(open(two, "/graphql").says("hello")).toContain("JSON");
  });

  test("a deny rule counts where messages are allowed as such", () => {
    const { says } = open(endpoint("access: full, deny_rules: [{ operation_type: mutation, fields: [drop] }]"));
    expect(says(subscribe("mutation { add }"))).toBe("allowed");
    expect(says(subscribe("mutation { add drop }"))).toContain("deny rule");
    expect(says("hello")).toContain("JSON");
  });
});
