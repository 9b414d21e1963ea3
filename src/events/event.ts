import type { GraphqlFacts, RpcFacts } from "../engine/decision.ts";

/** Every decision and every security-relevant change is one of these; logs, aggregator and screens read this one stream. */
export type SecurityEvent = NetworkEvent | HttpEvent | SqlEvent | ProcessEvent | ConfigEvent | FindingEvent | LifecycleEvent;

export type Severity = "informational" | "low" | "medium" | "high" | "critical" | "fatal";

interface EventBase {
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly severity: Severity;
}

/** Which part decided. */
export type DecisionEngineName =
  | "opa"
  | "ssrf"
  | "identity"
  | "l7"
  | "tls"
  | "bypass"
  | "control_plane"
  | "inference"
  | "credentials"
  | "limits";

/** Where in the pipeline a connection was refused; `connect` and `forward` are policy refusals. */
export type DenialStage = "connect" | "forward" | "ssrf" | "bypass" | "l7_deny" | "l7_audit";

/** The process behind a connection, as recorded when it called connect(2). */
export interface Actor {
  readonly binary: string;
  readonly pid: number;
  readonly ancestors: readonly string[];
  /** Hex; absent until hashed. */
  readonly sha256?: string;
  readonly commandLine?: string;
  /** A finding about the program: it had memory that is writable and executable at once when it connected. */
  readonly writableCode?: true;
}

export interface NetworkEvent extends EventBase {
  readonly kind: "network";
  readonly activity: "open" | "close" | "refuse" | "fail";
  readonly action: "allowed" | "denied";
  /** Absent when the caller could not be identified. */
  readonly actor?: Actor;
  readonly host: string;
  readonly port: number;
  readonly protocol: "tcp" | "udp";
  /** The address that was dialled, or that caused the refusal. */
  readonly address?: string;
  readonly policy?: string;
  readonly engine: DecisionEngineName;
  /** For people. */
  readonly reason?: string;
  /** Machine code of a refusal. */
  readonly code?: string;
  readonly stage?: DenialStage;
}

/** What was decided inside a connection: for whom, to which server, by what. */
interface DecidedInside extends EventBase {
  readonly actor?: Actor;
  readonly host: string;
  readonly port: number;
  readonly policy?: string;
  readonly engine: DecisionEngineName;
  readonly reason?: string;
  readonly code?: string;
  readonly stage?: DenialStage;
}

export interface HttpEvent extends DecidedInside {
  readonly kind: "http";
  readonly action: "allowed" | "denied";
  readonly method: string;
  /** Without query string and with credentials masked. */
  readonly url: string;
  /** Of a request that no rule allowed. */
  readonly asked?: RequestAsked;
  /** Names of the credentials that the request was given on its way out. */
  readonly credentials?: readonly string[];
  /** Of a question to a model. */
  readonly inference?: InferenceDetails;
}

/** What a request asked for beside method and path, as far as rules can be about it. */
export interface RequestAsked {
  /** Protocol and path selector of the endpoint that decided; both empty when none spoke of it. */
  readonly protocol: string;
  readonly selector: string;
  readonly upgrade?: "websocket";
  readonly graphql?: readonly GraphqlFacts[];
  readonly rpc?: readonly RpcFacts[];
}

/** Where a question to a model went, and what became of it. */
export interface InferenceDetails {
  readonly route: string;
  /** Type of the provider. */
  readonly provider: string;
  readonly model: string;
  readonly protocol: string;
  /** HTTP status of the answer. */
  readonly status: number;
  /** As the provider counted; absent when it did not say. */
  readonly inputTokens?: number;
  readonly outputTokens?: number;
  /** Until the end of the answer. */
  readonly durationMs: number;
}

/** One statement of a database client; never its text, which may hold anything. */
export interface SqlEvent extends DecidedInside {
  readonly kind: "sql";
  readonly action: "allowed" | "denied";
  /** First word, in upper case. */
  readonly command: string;
  /** Empty: not said. */
  readonly database: string;
}

export interface ProcessEvent extends EventBase {
  readonly kind: "process";
  readonly activity: "launch" | "terminate";
  readonly name: string;
  readonly pid: number;
  readonly exitCode?: number;
  readonly commandLine?: string;
}

export interface ConfigEvent extends EventBase {
  readonly kind: "config";
  readonly activity: "loaded" | "failed" | "proposed" | "approved" | "rejected" | "changed";
  readonly message: string;
  readonly version?: number;
  readonly hash?: string;
}

export interface FindingEvent extends EventBase {
  readonly kind: "finding";
  readonly id: string;
  readonly title: string;
  readonly evidence: Readonly<Record<string, string>>;
  readonly remediation?: string;
}

export interface LifecycleEvent extends EventBase {
  readonly kind: "lifecycle";
  readonly activity: "start" | "stop" | "ready";
  readonly message: string;
}

/** Takes events; must not block, throw or slow the data path. */
export type EventSink = (event: SecurityEvent) => void;
