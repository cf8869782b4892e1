/**
 * A health probe with a `fetch`, alike on all runtimes.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ProbeResult } from "../health.ts";
import type { Fields } from "../proxy/fields.ts";
import {
  type Failure,
  probeFields,
  type ProbeOptions,
} from "../proxy/transport.ts";
import { probeFailure } from "./failures.ts";

/** A probe, and the parts of it that differ between runtimes. */
export interface FetchProbe {
  backend: Backend;
  path: string;
  signal: AbortSignal;
  options: ProbeOptions | undefined;
  /** Fields in addition to `Host`. */
  own: Fields;
  /** Sends it. */
  send(
    url: string,
    init: RequestInit & { headers: Fields },
  ): Promise<Response>;
  /** Classifies an error of `send`. */
  classify(error: unknown): Failure;
}

/** Probes a backend; the body of its response is not read. */
export async function probeByFetch(
  { backend, path, signal, options = {}, own, send, classify }: FetchProbe,
): Promise<ProbeResult> {
  const { host = backend.authority, method = "GET" } = options;
  const url = `${backend.origin}${backend.basePath}${path}`;
  const headers = probeFields([["host", host], ...own], options);
  try {
    const init = { method, redirect: "manual", signal, headers } as const;
    const { status, body } = await send(url, init);
    body?.cancel().catch(() => {});
    return { status };
  } catch (error) {
    return probeFailure(classify(error));
  }
}
