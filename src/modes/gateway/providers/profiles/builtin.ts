import { NetworkAccessPreset } from "../../../../rpc/gen/openshell/sandbox/v1/sandbox_pb.ts";
import { type ProviderProfile, ProviderProfileCategory } from "../../../../rpc/gen/openshell/v1/openshell_pb.ts";
import { bearer, credential, endpoint, plain, profile, rest } from "./profile.ts";

const { OTHER, INFERENCE, AGENT, SOURCE_CONTROL, DATA, MESSAGING } = ProviderProfileCategory;
const { READ_ONLY, READ_WRITE } = NetworkAccessPreset;

const CURL = ["/usr/bin/curl", "/usr/local/bin/curl"];
const GIT = ["/usr/bin/git", "/usr/local/bin/git", "/usr/lib/git-core/*"];
const PYTHON = ["/sandbox/.venv/bin/python", "/sandbox/.venv/bin/python3", "/sandbox/.uv/python/**"];

const awsKeys = (prefix: string) => [
  credential(`${prefix}access_key_id`, ["AWS_ACCESS_KEY_ID"], { style: "" }),
  credential(`${prefix}secret_access_key`, ["AWS_SECRET_ACCESS_KEY"], { style: "" }),
  credential(`${prefix}session_token`, ["AWS_SESSION_TOKEN"], { style: "" }, false),
];

/** Requests to S3 are signed anew on the way out: the agent's signature is one with placeholders. */
const s3 = (host: string) => endpoint({ host, protocol: "rest", access: READ_WRITE, credentialSigning: "sigv4", signingService: "s3" });

/** Fetching by git, and nothing else: pushing asks for another service. */
const gitFetch = (host: string) =>
  endpoint({
    host,
    protocol: "rest",
    rules: [
      { method: "GET", path: "/**/info/refs*" },
      { method: "POST", path: "/**/git-upload-pack" },
    ].map((allow) => ({ allow })) as never,
  });

/** The kinds of services that OpenShell knows; the endpoints and programs of one are added to a sandbox's policy when a provider of it is attached. */
export const BUILTIN_PROFILES: readonly ProviderProfile[] = [
  profile("anthropic", {
    title: "Anthropic",
    description: "The Anthropic API, for programs that call it themselves and for inference routes",
    category: INFERENCE,
    credentials: [credential("api_key", ["ANTHROPIC_API_KEY"], { style: "header", header: "x-api-key" })],
    endpoints: [rest("api.anthropic.com", "read-write")],
    inference: true,
  }),
  profile("aws", {
    title: "AWS",
    description: "Keys of an AWS account; policies name the services by credential_signing",
    category: OTHER,
    credentials: awsKeys(""),
  }),
  profile("aws-bedrock", {
    title: "Amazon Bedrock",
    description: "Models of Amazon Bedrock",
    category: INFERENCE,
    credentials: [...awsKeys("aws_"), credential("aws_region", ["AWS_REGION", "AWS_DEFAULT_REGION"], { style: "" }, false)],
    inference: true,
  }),
  profile("aws-s3", {
    title: "Amazon S3",
    description: "Buckets of Amazon S3",
    category: OTHER,
    credentials: awsKeys(""),
    endpoints: [
      "*.s3.amazonaws.com",
      "s3.amazonaws.com",
      "*.s3.*.amazonaws.com",
      "s3.*.amazonaws.com",
      "*.s3.dualstack.*.amazonaws.com",
      "s3.dualstack.*.amazonaws.com",
    ].map(s3),
    binaries: [...PYTHON, "/usr/bin/python3", "/usr/bin/python3.*", "/usr/bin/curl", "/usr/local/bin/aws", "/bin/bash"],
  }),
  profile("claude-code", {
    title: "Claude Code",
    description: "Claude Code with an Anthropic API key",
    category: AGENT,
    credentials: [credential("api_key", ["ANTHROPIC_API_KEY", "CLAUDE_API_KEY"], { style: "header", header: "x-api-key" })],
    endpoints: ["api.anthropic.com", "statsig.anthropic.com", "sentry.io"].map((host) => rest(host, "read-write")),
    binaries: ["/usr/bin/claude", "/usr/local/bin/claude"],
    inference: true,
  }),
  profile("codex", {
    title: "Codex",
    description: "Codex, signed in to ChatGPT or with an API key",
    category: AGENT,
    credentials: [
      credential("access_token", ["CODEX_AUTH_ACCESS_TOKEN"], bearer, false),
      credential("refresh_token", ["CODEX_AUTH_REFRESH_TOKEN"], { style: "" }, false),
      credential("account_id", ["CODEX_AUTH_ACCOUNT_ID"], { style: "header", header: "chatgpt-account-id" }, false),
      credential("id_token", ["CODEX_AUTH_ID_TOKEN"], { style: "" }, false),
      credential("api_key", ["OPENAI_API_KEY"], bearer, false),
    ],
    endpoints: ["api.openai.com", "auth.openai.com", "chatgpt.com", "ab.chatgpt.com"].map((host) => rest(host, "read-write")),
    binaries: ["/usr/bin/codex", "/usr/local/bin/codex", "/usr/lib/node_modules/@openai/**"],
  }),
  profile("copilot", {
    title: "GitHub Copilot",
    description: "The Copilot command line",
    category: AGENT,
    credentials: [credential("api_token", ["COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"], bearer)],
    endpoints: [
      ...["api", "api.individual", "api.business", "api.enterprise"].map((name) => rest(`${name}.githubcopilot.com`, "read-write")),
      rest("copilot-proxy.githubusercontent.com", "read-write"),
      plain("telemetry.enterprise.githubcopilot.com"),
      plain("default.exp-tas.com"),
    ],
    binaries: ["/usr/bin/copilot", "/usr/lib/node_modules/@github/copilot/node_modules/@github/**/copilot"],
  }),
  profile("cursor", {
    title: "Cursor",
    description: "The server part of the Cursor editor",
    category: AGENT,
    endpoints: [
      "cursor.blob.core.windows.net",
      "api2.cursor.sh",
      "repo.cursor.sh",
      "download.cursor.sh",
      "cursor.download.prss.microsoft.com",
    ].map(plain),
    binaries: ["/usr/bin/curl", "/usr/bin/wget", "/sandbox/.cursor-server/**"],
  }),
  profile("deepinfra", {
    title: "DeepInfra",
    description: "Models of DeepInfra",
    category: INFERENCE,
    credentials: [credential("api_key", ["DEEPINFRA_API_KEY"], bearer)],
    endpoints: [rest("api.deepinfra.com", "read-write")],
    binaries: CURL,
    inference: true,
  }),
  profile("generic", {
    title: "Generic",
    description: "Credentials of any service; policies say where they go, by credential_binding",
    category: OTHER,
  }),
  profile("github", {
    title: "GitHub",
    description: "Reading from GitHub: its API, and fetching by git",
    category: SOURCE_CONTROL,
    credentials: [credential("api_token", ["GITHUB_TOKEN", "GH_TOKEN"], bearer)],
    endpoints: [
      rest("api.github.com", "read-only"),
      endpoint({ host: "api.github.com", protocol: "graphql", access: READ_ONLY, path: "/graphql" }),
      gitFetch("github.com"),
    ],
    binaries: ["/usr/bin/gh", "/usr/local/bin/gh", ...GIT],
  }),
  profile("gitlab", {
    title: "GitLab",
    description: "Reading from gitlab.com: its API, and fetching by git",
    category: SOURCE_CONTROL,
    // glab sends a field of its own, git Basic, programs either: the usual places.
    credentials: [credential("api_token", ["GITLAB_TOKEN", "GLAB_TOKEN", "CI_JOB_TOKEN"], { style: "" })],
    endpoints: [endpoint({ host: "gitlab.com", protocol: "rest", access: READ_ONLY, path: "/api/**" }), gitFetch("gitlab.com")],
    binaries: ["/usr/bin/glab", "/usr/local/bin/glab", ...GIT],
  }),
  profile("google-cloud", {
    title: "Google Cloud",
    description: "Access tokens of Google Cloud; policies say where they go, by credential_binding",
    category: OTHER,
    credentials: [
      credential("service_account_token", ["GCP_SA_ACCESS_TOKEN"], bearer, false),
      credential("adc_token", ["GCP_ADC_ACCESS_TOKEN"], bearer, false),
    ],
  }),
  profile("google-vertex-ai", {
    title: "Vertex AI",
    description: "Models of Vertex AI",
    category: INFERENCE,
    credentials: [
      credential("service_account_key", ["GOOGLE_SERVICE_ACCOUNT_KEY"], { style: "" }, false),
      credential("service_account_token", ["GOOGLE_VERTEX_AI_SERVICE_ACCOUNT_TOKEN", "VERTEX_AI_SERVICE_ACCOUNT_TOKEN"], bearer, false),
      credential("gcloud_adc_token", ["GOOGLE_VERTEX_AI_TOKEN", "VERTEX_AI_TOKEN"], bearer, false),
    ],
    endpoints: [
      "*-aiplatform.googleapis.com",
      "aiplatform.googleapis.com",
      "aiplatform.us.rep.googleapis.com",
      "aiplatform.eu.rep.googleapis.com",
    ].map((host) => rest(host, "read-write")),
    inference: true,
  }),
  profile("nvidia", {
    title: "NVIDIA",
    description: "Models of build.nvidia.com",
    category: INFERENCE,
    credentials: [credential("api_key", ["NVIDIA_API_KEY"], bearer)],
    endpoints: [rest("integrate.api.nvidia.com", "read-write")],
    binaries: CURL,
    inference: true,
  }),
  profile("openai", {
    title: "OpenAI",
    description: "The OpenAI API, for programs that call it themselves and for inference routes",
    category: INFERENCE,
    credentials: [credential("api_key", ["OPENAI_API_KEY"], bearer)],
    endpoints: [rest("api.openai.com", "read-write")],
    inference: true,
  }),
  profile("opencode", {
    title: "OpenCode",
    description: "OpenCode with its own service, OpenRouter or OpenAI",
    category: AGENT,
    credentials: [
      credential("api_key", ["OPENCODE_API_KEY"], bearer, false),
      credential("openrouter_key", ["OPENROUTER_API_KEY"], bearer, false),
      credential("openai_key", ["OPENAI_API_KEY"], bearer, false),
    ],
    endpoints: ["opencode.ai", "openrouter.ai", "api.openai.com"].map((host) => rest(host, "read-write")),
    binaries: ["/usr/lib/node_modules/opencode-ai/bin/.opencode", "/usr/local/bin/opencode", "/usr/bin/opencode"],
  }),
  profile("outlook", {
    title: "Outlook",
    description: "Credentials of Outlook; policies say where they go, by credential_binding",
    category: MESSAGING,
  }),
  profile("pypi", {
    title: "PyPI",
    description: "Python packages, and interpreters by uv",
    category: DATA,
    endpoints: [
      "pypi.org",
      "files.pythonhosted.org",
      "github.com",
      "objects.githubusercontent.com",
      "api.github.com",
      "downloads.python.org",
    ].map(plain),
    binaries: [
      ...["/sandbox/.venv/bin/python", "/sandbox/.venv/bin/python3", "/sandbox/.venv/bin/pip"],
      ...["/app/.venv/bin/python", "/app/.venv/bin/python3", "/app/.venv/bin/pip", "/usr/local/bin/uv", "/sandbox/.uv/python/**"],
    ],
  }),
];
