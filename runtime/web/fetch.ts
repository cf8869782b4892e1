/**
 * Sends attempts with the `fetch` of a platform without sockets and without
 * options beyond the Web's. Measured on workerd 2026-11-17.
 *
 * @module
 */

import type { Backend } from "../../balancer.ts";
import type { ProbeResult } from "../../health.ts";
import type { Chunk } from "../../proxy/body.ts";
import type { Fields } from "../../proxy/fields.ts";
import { lengthIn } from "../../proxy/framing.ts";
import {
  type Failure,
  type FetchTransport,
  type Native,
  type Outgoing,
  type ProbeOptions,
} from "../../proxy/transport.ts";
import { webFailure } from "../failures.ts";
import { probeByFetch } from "../fetch_probe.ts";
import type { TransportOptions } from "../transport_options.ts";
import { sized } from "./sized.ts";

/** Content codings that such a `fetch` decodes by itself. */
const DECODED = /^(?:gzip|br|deflate)$/i;

/** Methods that the standard of `fetch` forbids or respells. */
const UNSENDABLE = /^(?:CONNECT|TRACE|TRACK)$/i;

/** Sends attempts with the platform's `fetch`. */
export class WebFetch implements FetchTransport {
  readonly native: Native = {
    upTo: Infinity,
    lengthOf: ({ headers }) => lengthIn(headers),
  };
  readonly #userAgent: string;

  constructor(options: TransportOptions = {}) {
    this.#userAgent = options.userAgent ?? "sluice";
  }

  forFetch(fields: Fields): Fields {
    // A coded body would be decoded here, and its length would be wrong.
    const kept = fields.filter(([name]) => name !== "accept-encoding");
    kept.push(["accept-encoding", "identity"]);
    return kept;
  }

  sendsMethod(method: string): boolean {
    return !UNSENDABLE.test(method) && method === method.toUpperCase();
  }

  async send(outgoing: Outgoing): Promise<Response> {
    const { method, fields, payload, whole, url } = outgoing;
    const { signal } = outgoing.abort;
    const init: RequestInit = {
      method,
      headers: this.forFetch(fields),
      redirect: "manual",
      signal,
    };
    if (whole !== undefined) init.body = whole;
    else if (payload !== undefined) {
      init.body = sized(payload.stream(), payload.length);
      // Required by the standard when a body is a stream.
      (init as { duplex?: string }).duplex = "half";
    }
    return plain(await fetch(url, init));
  }

  classify(error: unknown): Failure {
    return webFailure(error);
  }

  probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
    options?: ProbeOptions,
  ): Promise<ProbeResult> {
    return probeByFetch({
      backend,
      path,
      signal,
      options,
      own: [["user-agent", this.#userAgent]],
      send: (url, init) => fetch(url, init),
      classify: webFailure,
    });
  }

  dial(): Promise<never> {
    return Promise.reject(new Error("there are no sockets"));
  }

  classifyDial(): Failure {
    return NO_SOCKETS;
  }

  close(): void {
    // There is nothing to release.
  }
}

/** A WebSocket needs its own connection. */
const NO_SOCKETS: Failure = {
  type: "proxy_internal_error",
  sent: false,
  fault: "none",
  reason: "this platform has no sockets for a WebSocket",
  status: 501,
};

/** A response without the content coding that `fetch` has decoded. */
function plain(response: Response): Response {
  const coding = response.headers.get("content-encoding");
  if (coding === null || !DECODED.test(coding)) return response;
  const headers = new Headers(response.headers);
  headers.delete("content-encoding");
  headers.delete("content-length");
  return new Response(response.body as ReadableStream<Chunk> | null, {
    status: response.status,
    headers,
  });
}
