/** An access key of AWS; requests are signed with it, it is never sent itself. */
export interface AwsKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/** Ids have 16 to 128 word characters (IAM API reference, AccessKey); none of the parts has a colon. */
const AWS_KEY = /^(\w{16,128}):([^:]{16,256})(?::([^:]+))?$/;
/** `bedrock-runtime.eu-west-1.amazonaws.com`, and the names of private endpoints that end alike. */
const REGION = /(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z]{2}(?:-[a-z0-9]+)+-\d)\./;

/** Reads `ID:SECRET` or `ID:SECRET:SESSION`; undefined: it is a key of another kind. */
export function readAwsKey(key: string): AwsKey | undefined {
  const [, accessKeyId, secretAccessKey, sessionToken] = AWS_KEY.exec(key) ?? [];
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

/** The region that a host of Bedrock names; a signature is for one region. */
export function bedrockRegion(host: string): string | undefined {
  return REGION.exec(host)?.[1];
}
