/**
 * One look at a backend, for `--check`: as a probe asks, but with an eye on the
 * whole header.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ErrorType } from "../proxy/errors.ts";
import type { Transport } from "../proxy/transport.ts";
import type { Lookup } from "../config/options.ts";

/** What one backend said, or why it said nothing. */
export interface CheckResult {
  /** Whom it is about. */
  backend: Backend;
  /** The answer's header, if there was an answer. */
  answer: { status: number; headers: Pick<Headers, "get"> } | undefined;
  /** Why there was none, in a few words. */
  error: string | undefined;
  /** The kind of that. */
  errorType?: ErrorType | undefined;
  /** Milliseconds until then. */
  ms: number;
  /** What its name stands for; its path for a socket; nothing if unknown. */
  addresses: readonly string[];
}

/** Options for {@linkcode checkBackend}. */
export interface CheckBackendOptions {
  /** Asks. */
  transport: Transport;
  /** Looks names up. */
  lookup: Lookup;
  /** Path that is asked for, after the base path. */
  path: string;
  /** The `Host` that is sent. Default: the backend's own. */
  host?: string | undefined;
  /** Milliseconds that it may take. */
  timeoutMs: number;
  /** Value of `User-Agent`. */
  userAgent: string;
}

/** Asks one backend, once. */
export async function checkBackend(
  backend: Backend,
  { transport, lookup, path, host, timeoutMs, userAgent }: CheckBackendOptions,
): Promise<CheckResult> {
  const result: CheckResult = {
    backend,
    answer: undefined,
    error: undefined,
    ms: 0,
    addresses: backend.socketPath === undefined
      ? await addressesOf(backend, lookup)
      : [backend.socketPath],
  };
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), timeoutMs);
  const asked = performance.now();
  try {
    const fields: [string, string][] = [
      ["host", host ?? backend.authority],
      ["user-agent", userAgent],
      ["accept-encoding", "gzip"],
    ];
    const answer = await transport.send({
      backend,
      url: backend.origin + backend.basePath + path,
      method: "GET",
      fields,
      payload: undefined,
      once: true,
      signal: controller.signal,
    });
    result.answer = { status: answer.status, headers: answer.headers };
    result.ms = performance.now() - asked;
    const { body } = answer;
    if (body instanceof ReadableStream) await body.cancel().catch(() => {});
    else if (body !== null && "read" in body) body.cancel(undefined);
  } catch (error) {
    result.ms = performance.now() - asked;
    if (controller.signal.aborted) {
      result.error = `no answer within ${timeoutMs} ms`;
    } else {
      const { type, reason } = transport.classify(error);
      result.error = reason;
      result.errorType = type;
    }
  } finally {
    clearTimeout(timer);
  }
  return result;
}

/** What a backend's name stands for; nothing when that cannot be known. */
async function addressesOf(
  { authority }: Backend,
  lookup: Lookup,
): Promise<string[]> {
  const host = authority.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (host.includes(":") || /^[\d.]+$/.test(host)) return [host];
  try {
    return [...new Set((await lookup(host)).addresses)];
  } catch {
    return [];
  }
}
