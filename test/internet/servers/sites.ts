/** Hosts of the test internet with more to offer than an echo: each answers requests for its name, whatever the address. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { echoBody } from "./apis.ts";
import { gitSite } from "./git.ts";
import { indexSite } from "./packages.ts";

/** Answers one request whose whole body is `body`. */
export type Site = (request: IncomingMessage, body: Buffer, response: ServerResponse) => void | Promise<void>;

/** By `Host`, without port. What they serve is in `directory`, put there by the test. */
export function sites(directory: string): ReadonlyMap<string, Site> {
  return new Map([
    ["calls.example.com", echoBody],
    ["git.example.com", gitSite(join(directory, "git"))],
    ["npm.example.com", indexSite(join(directory, "npm"))],
    ["pypi.example.com", indexSite(join(directory, "pypi"))],
  ]);
}
