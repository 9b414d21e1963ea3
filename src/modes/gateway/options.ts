import type { UpstreamProxySettings } from "../../upstream-proxy/settings.ts";
import type { LogLevel } from "./log.ts";

/** How one gateway runs; what the command line gives, checked. */
export interface GatewayOptions {
  /** 0 takes any free port. */
  readonly port: number;
  /** Undefined: 127.0.0.1 and ::1. */
  readonly bindAddress?: string;
  readonly stateDirectory: string;
  /** Where the registration for the command line of this user goes. */
  readonly configDirectory: string;
  /** Where the registration for every user of the machine goes; only for root with the default state directory. */
  readonly systemDirectory?: string;
  /** Plaintext, on loopback only; every caller without a token is the local user. */
  readonly disableTls: boolean;
  readonly uidRange: UidRange;
  /** Uids outside the range that policies may name. */
  readonly allowedUids?: readonly number[];
  readonly trustedCidrs: readonly string[];
  readonly internalDomains: readonly string[];
  /** PEM file of authorities that sandboxes accept servers from, beside the system's. */
  readonly upstreamCa?: string;
  /** What connections of sandboxes leave by; absent: they are made directly. */
  readonly upstreamProxy?: UpstreamProxySettings;
  /** Host paths that mounts and policies of sandboxes may name beyond the default view. */
  readonly allowedMounts: readonly string[];
  readonly logLevel: LogLevel;
}

/** Both ends included. */
export interface UidRange {
  readonly first: number;
  readonly last: number;
}

/** High above what distributions and /etc/subuid give out. */
export const DEFAULT_UID_RANGE: UidRange = { first: 2_000_000_000, last: 2_000_065_535 };
