/** Hosts of the test internet with more to offer than an echo: each answers requests for its name, whatever the address. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { echoBody } from "./apis.ts";
import { gitSite } from "./git.ts";
import { guarded, mirrorSite } from "./mirror.ts";
import { indexSite } from "./packages.ts";

/** Answers one request whose whole body is `body`. */
export type Site = (request: IncomingMessage, body: Buffer, response: ServerResponse) => void | Promise<void>;

/** By `Host`, without port. What they serve is in `directory`, put there by the test. */
export function sites(directory: string): ReadonlyMap<string, Site> {
  return new Map([
    ["bucket.example.com", mirrorSite(directory)],
    ["calls.example.com", echoBody],
    ["git.example.com", gitSite(join(directory, "git"))],
    ["mirror.example.com", mirrorSite(directory)],
    ["npm.example.com", indexSite(join(directory, "npm"))],
    ["private-git.example.com", guarded(gitSite(join(directory, "git")), "x-access-token:a-real-git-token-1234")],
    ["pypi.example.com", indexSite(join(directory, "pypi"))],
  ]);
}
