import { type AwsKey, bedrockRegion } from "../../../inference/aws-key.ts";
import { ALGORITHM, type Scope, scopeText, sha256, signature, signedNames } from "../credentials/sigv4.ts";

export interface UnsignedRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

/** The header fields of a request to Bedrock with the signature that AWS asks for (Signature Version 4, service `bedrock`). */
export function awsFields({ method, url, headers, body }: UnsignedRequest, key: AwsKey, now: Date): Record<string, string> {
  const timestamp = now.toISOString().replace(/[-:]|\.\d{3}/g, "");
  const payload = sha256(body ?? "");
  const own: Record<string, string> = {
    "x-amz-date": timestamp,
    "x-amz-content-sha256": payload,
    ...(key.sessionToken === undefined ? {} : { "x-amz-security-token": key.sessionToken }),
  };
  const signed = Object.entries({ host: url.host, ...own, ...pick(headers, "content-type") }).map(([lower, value]) => ({ lower, value }));
  // Without a region in the host's name there is no right one, and AWS says which it expected.
  const scope: Scope = { date: timestamp.slice(0, 8), region: bedrockRegion(url.hostname) ?? "us-east-1", service: "bedrock" };
  const query = url.search === "" ? undefined : url.search.slice(1);
  const sum = signature({ method, path: url.pathname, query, fields: signed, payload }, key, scope, timestamp);
  const credential = `${key.accessKeyId}/${scopeText(scope)}`;
  return {
    ...headers,
    ...own,
    authorization: `${ALGORITHM} Credential=${credential}, SignedHeaders=${signedNames(signed)}, Signature=${sum}`,
  };
}

function pick(headers: Readonly<Record<string, string>>, name: string): Record<string, string> {
  const value = headers[name];
  return value === undefined ? {} : { [name]: value };
}
