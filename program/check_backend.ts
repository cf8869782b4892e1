/**
 * One request to a backend, for `--check`: like a probe, but keeps the header.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { Abort } from "../http/signal.ts";
import type { ErrorType } from "../proxy/errors.ts";
import type { Transport } from "../proxy/transport.ts";
import type { Lookup } from "../config/options.ts";

/** The response of one backend, or why there was none. */
export interface CheckResult {
  /** The backend. */
  backend: Backend;
  /** Status and header, if there was a response. */
  answer: { status: number; headers: Pick<Headers, "get"> } | undefined;
  /** Why there was no response, in a few words. */
  error: string | undefined;
  /** The type of that error. */
  errorType?: ErrorType | undefined;
  /** Milliseconds until the response or the error. */
  ms: number;
  /** Addresses of its name; its path if it is a socket; empty if unknown. */
  addresses: readonly string[];
}

/** Options for {@linkcode checkBackend}. */
export interface CheckBackendOptions {
  /** Sends the request. */
  transport: Transport;
  /** Looks names up. */
  lookup: Lookup;
  /** Request path, after the base path. */
  path: string;
  /** `Host` to send. Default: the backend's own. */
  host?: string | undefined;
  /** Timeout in milliseconds. */
  timeoutMs: number;
  /** Value of `User-Agent`. */
  userAgent: string;
}

/** Sends one request to a backend. */
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
  const abort = new Abort();
  const timer = setTimeout(() => abort.abort(undefined), timeoutMs);
  const startedAt = performance.now();
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
      abort,
    });
    result.answer = { status: answer.status, headers: answer.headers };
    result.ms = performance.now() - startedAt;
    const { body } = answer;
    if (body instanceof ReadableStream) await body.cancel().catch(() => {});
    else if (body !== null && "read" in body) body.cancel(undefined);
  } catch (error) {
    result.ms = performance.now() - startedAt;
    if (abort.aborted) {
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

/** The addresses of a backend's name; empty if unknown. */
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
