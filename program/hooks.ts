/**
 * The hooks among a proxy's options: checked, and wrapped where what they throw
 * has to be caught at once.
 *
 * @module
 */

import type { ProxyOptions } from "../config/options.ts";
import { recordOf, type RequestRecord } from "../observe/log.ts";
import type { Hooks, KeyFunction } from "../proxy/hook_types.ts";
import type { Settled } from "../proxy/observed.ts";
import { type Failed, guarded, toldOnce } from "./guarded.ts";

/** Options that are functions which requests are answered with. */
const HOOKS = [
  "key",
  "onError",
  "onRequest",
  "onResponse",
  "onSettled",
] as const;

/**
 * Options that hold a function which a worker would have to call, and cannot be
 * handed to one.
 */
export function functionsForWorkers(options: ProxyOptions): string[] {
  return [...HOOKS, "clock", "fetch", "random"].filter((name) =>
    options[name as keyof ProxyOptions] !== undefined
  ).concat(typeof options.policy === "function" ? ["policy"] : []);
}

/**
 * Takes the hooks out of the options.
 *
 * @throws {TypeError} If one is no function, or `key` is of no use.
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
  const told = new Map(
    HOOKS.map((name) => [name as string, toldOnce(name, log)]),
  );
  return {
    onError,
    onRequest,
    onResponse,
    key: key && guardedKey(key, told.get("key")!),
    failed: (hook, error) => told.get(hook)?.(error),
  };
}

/** A key that is a text, or none. */
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

/** What is told of requests that are over, by those who want to hear of it. */
export function settledBy(
  options: ProxyOptions,
  line: ((settled: Settled) => void) | undefined,
  log: (line: string) => void,
): ((settled: Settled) => void) | undefined {
  const { onSettled, logQuery = true } = options;
  if (onSettled === undefined) return line;
  const tell = guarded<RequestRecord>(onSettled, toldOnce("onSettled", log));
  return (settled) => {
    line?.(settled);
    tell(recordOf(settled, Date.now(), logQuery));
  };
}
