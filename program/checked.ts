/**
 * The scalar options of a proxy, checked, with their defaults.
 *
 * @module
 */

import { holds, parseAddress, parseCidr } from "../config/address.ts";
import { checkedNumber } from "../config/check.ts";
import { checkedOption, optionalOption } from "../config/option.ts";
import type { ProxyOptions, RateLimitOptions } from "../config/options.ts";
import { type AddressMatcher, cachedMatcher } from "../proxy/addresses.ts";

/** The checked options; `Infinity` means no limit. */
export interface Checked {
  retries: number;
  retryBudget: number;
  connectTimeoutMs: number;
  timeoutMs: number;
  clientTimeoutMs: number;
  idleTimeoutMs: number;
  maxBodyBytes: number;
  maxMessageBytes: number;
  maxInFlight: number | "auto";
  rateLimit: RateLimitOptions | undefined;
  /** 0: no slow start. */
  slowStartMs: number;
  hostHeader: "auto" | "preserve" | "backend";
  transport: "auto" | "fetch" | "socket";
  policy: string;
  via: boolean;
  resume: boolean;
  requestId: boolean;
  trace: boolean;
  accessLog: false | "json" | "combined";
  logQuery: boolean;
}

/**
 * Checks the options.
 *
 * @throws {TypeError | RangeError} If one is invalid; the message has its name
 * and what is expected.
 */
export function checkedOptions(options: ProxyOptions): Checked {
  const { stickySecret } = options;
  if (stickySecret !== undefined && stickySecret.length < 16) {
    throw new TypeError(
      "Cannot make a proxy: stickySecret has fewer than 16 characters",
    );
  }
  const unlimited = <T>(value: T | false) => value || Infinity;
  const { clientTimeoutMs, idleTimeoutMs, maxBodyBytes, maxInFlight } = options;
  return {
    retries: checkedOption("RETRIES", options.retries),
    retryBudget: checkedOption("RETRY_BUDGET", options.retryBudget),
    connectTimeoutMs: checkedOption(
      "CONNECT_TIMEOUT",
      options.connectTimeoutMs,
    ),
    timeoutMs: checkedOption("TIMEOUT", options.timeoutMs),
    clientTimeoutMs: unlimited(
      checkedOption("CLIENT_TIMEOUT", clientTimeoutMs),
    ),
    idleTimeoutMs: unlimited(checkedOption("IDLE_TIMEOUT", idleTimeoutMs)),
    maxBodyBytes: unlimited(checkedOption("MAX_BODY", maxBodyBytes)),
    maxMessageBytes: checkedOption("MAX_MESSAGE", options.maxMessageBytes),
    maxInFlight: unlimited(checkedOption("MAX_IN_FLIGHT", maxInFlight)),
    rateLimit: checkedRate(options.rateLimit),
    slowStartMs: checkedOption("SLOW_START", options.slowStartMs) || 0,
    transport: checkedOption("TRANSPORT", options.transport),
    hostHeader: checkedOption("HOST_HEADER", options.hostHeader),
    policy: policyName(options.policy),
    via: checkedOption("VIA", options.via),
    resume: checkedOption("RESUME", options.resume),
    requestId: checkedOption("REQUEST_ID", options.requestId),
    trace: checkedOption("TRACE", options.trace),
    accessLog: checkedOption("ACCESS_LOG", options.accessLog),
    logQuery: checkedOption("LOG_QUERY", options.logQuery),
  };
}

/** The checked rate limit, if there is one. */
function checkedRate(
  rateLimit: ProxyOptions["rateLimit"],
): RateLimitOptions | undefined {
  if (rateLimit === undefined || rateLimit === false) return undefined;
  const { requests, perMs, key } = rateLimit;
  if (key !== undefined && typeof key !== "function") {
    throw new TypeError("Cannot make a proxy: rateLimit.key is not a function");
  }
  const bounds = { otherwise: NaN, min: 1 };
  return {
    // Both are required.
    requests: checkedNumber("rateLimit.requests", requests ?? NaN, {
      ...bounds,
      max: 1_000_000,
    }),
    perMs: checkedNumber("rateLimit.perMs", perMs ?? NaN, {
      ...bounds,
      max: DAY_MS,
      whole: false,
    }),
    key,
  };
}

/** Matches the trusted proxies; `undefined` if there are none. */
export function matcherOf(
  trusted: readonly string[] | undefined,
): AddressMatcher | undefined {
  // An empty list is fine in code; as text it would be a mistake.
  const given = trusted?.length === 0 ? undefined : trusted;
  const entries = optionalOption("TRUSTED_PROXIES", given);
  if (entries === undefined) return undefined;
  const blocks = entries.flatMap((entry) => NAMED_BLOCKS[entry] ?? [entry]).map(
    (entry) => parseCidr(entry)!,
  );
  return cachedMatcher((address) => {
    const number = parseAddress(address);
    return number !== undefined &&
      blocks.some((block) => holds(block, number));
  });
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Address blocks with a name. */
const NAMED_BLOCKS: Readonly<Record<string, readonly string[]>> = {
  loopback: ["127.0.0.0/8", "::1"],
  // RFC 1918, RFC 4193, and link-local (RFC 3927, RFC 4291 §2.5.6).
  private: [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
  ],
};

/** The name of a policy for display; for a function, the function's name. */
function policyName(policy: ProxyOptions["policy"]): string {
  return typeof policy === "function"
    ? `function:${policy.name.replace(/[^\w.$-]/g, "_") || "anonymous"}`
    : checkedOption("POLICY", policy);
}
