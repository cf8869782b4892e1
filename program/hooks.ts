/**
 * The hooks among a proxy's options: checked, and wrapped where an error must
 * be caught at once.
 *
 * @module
 */

import type { ProxyOptions } from "../config/options.ts";
import { recordOf, type RequestRecord } from "../observe/log.ts";
import type { Hooks, KeyFunction } from "../proxy/hook_types.ts";
import type { Settled } from "../proxy/observed.ts";
import { type Failed, guarded, logOnce } from "./guarded.ts";

/** Options that are functions called for requests. */
const HOOKS = [
  "key",
  "onError",
  "onRequest",
  "onResponse",
  "onSettled",
] as const;

/**
 * Names of the options that hold a function which workers would have to call: a
 * function cannot be passed to a worker.
 */
export function functionsForWorkers(options: ProxyOptions): string[] {
  return [...HOOKS, "clock", "fetch", "random"].filter((name) =>
    options[name as keyof ProxyOptions] !== undefined
  ).concat(typeof options.policy === "function" ? ["policy"] : []);
}

/**
 * The hooks of the options.
 *
 * @throws {TypeError} If one is not a function, or if `key` has no effect.
 */
export function hooksOf(
  options: ProxyOptions,
  policy: string,
  log: (line: string) => void,
): Hooks {
  for (const name of HOOKS) {
    if (options[name] !== undefined && typeof options[name] !== "function") {
      throw new TypeError(`Cannot make a proxy: ${name} is not a function`);
    }
  }
  const { key, onError, onRequest, onResponse } = options;
  if (
    key !== undefined && typeof options.policy !== "function" &&
    !/^(?:ip_hash|uri_hash|header:|cookie:)/.test(policy)
  ) {
    throw new TypeError(
      `Cannot make a proxy: key is set, and policy "${policy}" hashes nothing: ` +
        "use uri_hash, or a function",
    );
  }
  const failures = new Map(
    HOOKS.map((name) => [name as string, logOnce(name, log)]),
  );
  return {
    onError,
    onRequest,
    onResponse,
    key: key && guardedKey(key, failures.get("key")!),
    failed: (hook, error) => failures.get(hook)?.(error),
  };
}

/** Wraps `key`; returns a string or `undefined`. */
function guardedKey(key: KeyFunction, failed: Failed): KeyFunction {
  return (request, context) => {
    try {
      const value: unknown = key(request, context);
      if (value === undefined || typeof value === "string") return value;
      if (value instanceof Promise) value.catch(() => {});
      failed(new TypeError("it gave no text"));
    } catch (error) {
      failed(error);
    }
    return undefined;
  };
}

/** The function to call when a request has ended, if any: log and hook. */
export function settledBy(
  { onSettled }: ProxyOptions,
  line: ((settled: Settled) => void) | undefined,
  { logQuery, log }: { logQuery: boolean; log: (line: string) => void },
): ((settled: Settled) => void) | undefined {
  if (onSettled === undefined) return line;
  const record = guarded<RequestRecord>(onSettled, logOnce("onSettled", log));
  return (settled) => {
    line?.(settled);
    record(recordOf(settled, Date.now(), logQuery));
  };
}
