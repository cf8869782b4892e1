/**
 * Sends attempts with Bun's `fetch`, and handles its quirks. Measured on 1.4.5.
 *
 * @module
 */

import type { Backend } from "../../balancer.ts";
import type { ProbeResult } from "../../health.ts";
import { type Fields, RESPONSE_DROPPED } from "../../proxy/fields.ts";
import { lengthIn } from "../../proxy/framing.ts";
import { COMMON_METHODS } from "../../proxy/guard.ts";
import type { Socket } from "../../proxy/socket.ts";
import {
  type Failure,
  type FetchTransport,
  type Native,
  type Outgoing,
  type ProbeOptions,
} from "../../proxy/transport.ts";
import { dial } from "../batched.ts";
import { bunFailure, socketFailure } from "../failures.ts";
import { probeByFetch } from "../fetch_probe.ts";
import { BUN_DEFAULT, BUN_LIMIT, env } from "../process.ts";
import type { TransportOptions } from "../transport_options.ts";
import { type BunTls, withUsualAuthorities } from "./authorities.ts";
import { connectBun } from "./connect.ts";
import { Share } from "./share.ts";

/** Options of Bun's `fetch` in addition to the Web's. */
interface BunInit extends RequestInit {
  decompress: boolean;
  timeout: false;
  unix?: string;
  keepalive?: boolean;
  tls?: BunTls;
}

/**
 * Uncommon methods that Bun's `fetch` sends unchanged; it turns others into GET.
 */
const METHODS: ReadonlySet<string> = new Set([
  "ACL",
  "BIND",
  "CHECKOUT",
  "COPY",
  "LINK",
  "LOCK",
  "M-SEARCH",
  "MERGE",
  "MKACTIVITY",
  "MKCALENDAR",
  "MKCOL",
  "MOVE",
  "NOTIFY",
  "PROPFIND",
  "PROPPATCH",
  "PURGE",
  "QUERY",
  "REBIND",
  "REPORT",
  "SEARCH",
  "SOURCE",
  "SUBSCRIBE",
  "UNBIND",
  "UNLINK",
  "UNLOCK",
  "UNSUBSCRIBE",
]);

/** Whether a field is the `User-Agent`. */
function isUserAgent([name]: Fields[number]): boolean {
  return name === "user-agent";
}

/** Shared by all transports of this process; made with the first one. */
let share: Share | undefined;

/** Whether Bun's thread for requests was started. */
let warm = false;

/** Sends attempts with Bun's `fetch`. */
export class BunFetch implements FetchTransport {
  readonly native: Native = {
    // Above this, Bun streams in small chunks: reading the body first gives
    // 1.25 times the requests per second at 16 KB, and 1.35 times at 64 KB.
    upTo: 8 * 1024,
    lengthOf: ({ headers }) => lengthIn(headers),
    canPassThrough,
    strip,
  };
  readonly copiesFields = true;
  readonly #tls: BunTls | undefined;
  readonly #userAgent: string;
  readonly #leave: (() => void) | undefined;

  constructor(options: TransportOptions = {}) {
    this.#tls = withUsualAuthorities(options.tls);
    this.#userAgent = options.userAgent ?? "sluice";
    const { backends } = options;
    if (backends !== undefined && env(BUN_LIMIT) === undefined) {
      share ??= new Share(BUN_DEFAULT);
      this.#leave = share.join(backends);
    }
  }

  forFetch(fields: Fields): Fields {
    // Bun would add its own. The field cannot be removed, only emptied.
    if (!fields.some(isUserAgent)) fields.push(["user-agent", ""]);
    return fields;
  }

  sendsMethod(method: string): boolean {
    return METHODS.has(method);
  }

  full(backend: Backend): boolean {
    return this.#leave !== undefined && share!.full(backend);
  }

  send(outgoing: Outgoing): Promise<Response> {
    const { backend, payload, whole, method, once, alone } = outgoing;
    const { fields, copied } = outgoing;
    const { signal } = outgoing.abort;
    const init = this.#init(backend);
    init.method = method;
    if (copied === undefined) {
      init.headers = this.forFetch(fields);
    } else {
      if (!copied.has("user-agent")) copied.set("user-agent", "");
      init.headers = copied;
    }
    init.signal = signal;
    if (alone) init.keepalive = false;
    if (payload === undefined) {
      if (whole !== undefined) init.body = whole;
      // When a kept connection fails, Bun repeats QUERY up to three times, like
      // idempotent methods; not POST and PATCH, nor requests with a stream as
      // body. Measured for 31 methods.
      if (once && method !== "POST" && method !== "PATCH") {
        init.keepalive = false;
      }
    } else {
      init.body = payload.stream();
      // A stream is sent chunked unless its length is set here.
      if (payload.length !== undefined) {
        const length = String(payload.length);
        if (copied === undefined) fields.push(["content-length", length]);
        else copied.set("content-length", length);
      }
    }
    const turn = this.#leave && share!.enter(backend, signal);
    return turn === undefined
      ? fetch(outgoing.url, init)
      : turn.then(() => fetch(outgoing.url, init));
  }

  classify(error: unknown): Failure {
    return bunFailure(error);
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
      // Its own connection: a probe tests whether new ones are accepted.
      send: (url, init) =>
        fetch(url, { ...this.#init(backend), ...init, keepalive: false }),
      classify: bunFailure,
    });
  }

  warm(): void {
    if (warm) return;
    warm = true;
    // Bun starts the thread for all requests with the first request, and ends
    // the process if no descriptor is left then. This socket does not exist, so
    // no request is sent.
    const nowhere = { unix: "/dev/null/nothing" };
    fetch("http://localhost/", nowhere as RequestInit).catch(() => {});
  }

  dial(
    backend: Backend,
    signal: AbortSignal,
    limitMs: number,
  ): Promise<Socket> {
    return dial(connectBun, backend, { signal, limitMs, tls: this.#tls });
  }

  classifyDial(error: unknown): Failure {
    return socketFailure(error);
  }

  close(): void {
    this.#leave?.();
  }

  #init(backend: Backend): BunInit {
    const init: BunInit = {
      redirect: "manual",
      // Bodies unchanged, and no `Accept-Encoding` added.
      decompress: false,
      // Bun would end any request after six minutes.
      timeout: false,
    };
    if (backend.socketPath !== undefined) init.unix = backend.socketPath;
    if (this.#tls !== undefined) init.tls = this.#tls;
    if (
      backend.ownOrigin !== backend.origin && backend.origin.startsWith("https")
    ) {
      // The URL has the address, the certificate the name.
      const servername = backend.authority.replace(/:\d+$/, "");
      init.tls = { ...this.#tls, servername };
    }
    return init;
  }
}

/** Targets that Bun's URL parser, or its `fetch`, would rewrite. */
const RESPELLED = /^\/\/|[^!$&(-;=?-Z_a-z~%[\]@]|\?$/;

/**
 * Whether Bun's `fetch` would change a request, or could lose it: it sends
 * requests on kept connections that their backend has closed already. It
 * repeats those that may be repeated; of the others, up to half failed at
 * backends that close connections without announcing it.
 */
export function needsSocket(
  { backend, url, method, fields, payload, whole, empty, once }: Outgoing,
): boolean {
  if (once) return true;
  let agent = false;
  let accept = false;
  for (let i = 0; i < fields.length; i++) {
    const name = fields[i]![0];
    if (name === "user-agent") agent = true;
    else if (name === "accept") accept = true;
  }
  // It says a length of 0 where there is no body, but for GET and HEAD.
  const declaresEmpty = payload === undefined && whole === undefined &&
    method !== "GET" && method !== "HEAD";
  return !agent || !accept || declaresEmpty !== (empty === true) ||
    RESPELLED.test(url.slice(backend.origin.length)) ||
    !(COMMON_METHODS.has(method) || METHODS.has(method));
}

/** Whether a response can be passed through without reading its body. */
function canPassThrough(response: Response): boolean {
  // Without a type, Bun sets `application/octet-stream`, which a browser offers
  // to save; it does so unless the body is passed as a stream.
  return response.headers.has("content-type");
}

/** Removes the fields of one connection from a response, in place. */
function strip(response: Response, basePath: string): boolean {
  // The fields of a fetched response are mutable on Bun; copying them and the
  // response would cost 3 µs of about 45 for a small one.
  const { headers } = response;
  const connection = headers.get("connection");
  if (
    headers.has("location") || headers.has("content-location") ||
    (basePath !== "" && headers.has("set-cookie")) ||
    (connection !== null && !/^(?:keep-alive|close)$/i.test(connection))
  ) return false;
  if (headers.has("transfer-encoding")) headers.delete("content-length");
  for (const name of RESPONSE_DROPPED) headers.delete(name);
  return true;
}
