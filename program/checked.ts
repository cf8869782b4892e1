/**
 * The options of a proxy that are numbers and words, checked, each with its
 * default.
 *
 * @module
 */

import { holds, parseAddress, parseCidr } from "../config/address.ts";
import { checkedNumber, checkedText } from "../config/check.ts";
import { addressList, policy as policyGrammar } from "../config/grammar.ts";
import type { ProxyOptions } from "../config/options.ts";
import { type AddressMatcher, remembered } from "../proxy/addresses.ts";

/** A day, past which no limit makes sense any more. */
export const DAY_MS = 24 * 60 * 60 * 1000;
export const HOUR_MS = 60 * 60 * 1000;

/** What is checked here; `Infinity` is no limit. */
export interface Checked {
  retries: number;
  retryBudget: number;
  connectTimeoutMs: number;
  timeoutMs: number;
  clientTimeoutMs: number;
  idleTimeoutMs: number;
  maxBodyBytes: number;
  maxMessageBytes: number;
  maxInFlight: number;
  /** 0 for none. */
  slowStartMs: number;
  hostHeader: "auto" | "preserve" | "backend";
  policy: string;
}

/**
 * Checks the options.
 *
 * @throws {TypeError | RangeError} If one cannot be used; its name and what is
 * wanted stand in the message.
 */
export function checkedOptions(options: ProxyOptions): Checked {
  const { hostHeader = "auto", stickySecret } = options;
  if (!["auto", "preserve", "backend"].includes(hostHeader)) {
    throw new TypeError(
      `Cannot make a proxy: hostHeader "${hostHeader}" is not "auto", "preserve" or "backend"`,
    );
  }
  if (stickySecret !== undefined && stickySecret.length < 16) {
    throw new TypeError(
      "Cannot make a proxy: stickySecret has fewer than 16 characters",
    );
  }
  return {
    ...checkedLimits(options),
    hostHeader,
    policy: policyName(options.policy),
  };
}

/** What a policy is called where it is shown; a function by its own name. */
function policyName(policy: ProxyOptions["policy"] = "round_robin"): string {
  if (typeof policy === "function") {
    return `function:${policy.name.replace(/[^\w.$-]/g, "_") || "anonymous"}`;
  }
  return checkedText("policy", policy, policyGrammar.parse);
}

function checkedLimits(
  options: ProxyOptions,
): Omit<Checked, "hostHeader" | "policy"> {
  return {
    retries: checkedNumber("retries", options.retries, {
      otherwise: 2,
      min: 0,
      max: 10,
    }),
    retryBudget: checkedNumber("retryBudget", options.retryBudget, {
      otherwise: 0.2,
      min: 0,
      max: 1,
      whole: false,
    }),
    timeoutMs: checkedNumber("timeoutMs", options.timeoutMs, {
      otherwise: 60_000,
      min: 1,
      max: DAY_MS,
    }),
    connectTimeoutMs: checkedNumber(
      "connectTimeoutMs",
      options.connectTimeoutMs,
      { otherwise: 3_000, min: 1, max: HOUR_MS },
    ),
    clientTimeoutMs: options.clientTimeoutMs === false
      ? Infinity
      : checkedNumber("clientTimeoutMs", options.clientTimeoutMs, {
        otherwise: 60_000,
        min: 1,
        max: DAY_MS,
      }),
    maxMessageBytes: checkedNumber("maxMessageBytes", options.maxMessageBytes, {
      otherwise: 16 * 1024 * 1024,
      min: 1024,
      max: 64 * 1024 * 1024,
    }),
    idleTimeoutMs: checkedNumber("idleTimeoutMs", options.idleTimeoutMs, {
      otherwise: Infinity,
      min: 1,
      max: DAY_MS,
    }),
    maxBodyBytes: checkedNumber("maxBodyBytes", options.maxBodyBytes, {
      otherwise: Infinity,
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
    }),
    maxInFlight: checkedNumber("maxInFlight", options.maxInFlight, {
      otherwise: Infinity,
      min: 1,
      max: 1_000_000,
    }),
    slowStartMs: checkedNumber("slowStartMs", options.slowStartMs, {
      otherwise: 0,
      min: 1,
      max: HOUR_MS,
    }),
  };
}

/** Whose forwarding fields are believed; none when no peer's are. */
export function matcherOf(
  trusted: readonly string[] | undefined,
): AddressMatcher | undefined {
  if (trusted === undefined || trusted.length === 0) return undefined;
  const blocks = checkedText(
    "trustedProxies",
    trusted.join(","),
    addressList.parse,
  ).flatMap((entry) => NAMED_BLOCKS[entry] ?? [entry]).map((entry) =>
    parseCidr(entry)!
  );
  return remembered((address) => {
    const number = parseAddress(address);
    return number !== undefined &&
      blocks.some((block) => holds(block, number));
  });
}

/** Address blocks that have a name. */
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
