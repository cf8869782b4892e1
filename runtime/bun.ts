/**
 * Bun's part: how one attempt is sent, and what its quirks ask for. Measured on
 * 1.4.5. Bun's types are not Deno's, so what is used of them is written here.
 *
 * @module
 */

import tls from "node:tls";
import type { Backend } from "../balancer.ts";
import type { ProbeResult } from "../health.ts";
import type { Chunk } from "../proxy/body.ts";
import { answer } from "../proxy/errors.ts";
import { type Fields, RESPONSE_DROPPED } from "../proxy/headers.ts";
import type { Failure, Outgoing, Transport } from "../proxy/transport.ts";
import type { Acceptance, ClientEvents, Socket } from "../proxy/socket.ts";
import { dial } from "./dial.ts";
import { bunFailure, socketFailure } from "./failures.ts";
import type { Handler, Listener, ListenOptions } from "./listener.ts";
import { BUN_DEFAULT, BUN_LIMIT, env } from "./process.ts";
import { Share } from "./share.ts";
import { listenTlsBun, type MakeServer } from "./tls_bun.ts";
import type { TransportOptions } from "./transport_options.ts";
import { acceptBun, bunWebSocket } from "./websocket_bun.ts";

/** What Bun's `fetch` takes besides the Web's options. */
interface BunInit extends RequestInit {
  decompress: boolean;
  timeout: false;
  unix?: string;
  keepalive?: boolean;
  tls?: { ca?: string; cert?: string; key?: string; servername?: string };
}

/** What is used of Bun's server, the second argument of a handler. */
export interface BunServerLike {
  /** Address of a request's peer; nothing once the request has ended. */
  requestIP(request: Request): { address: string } | null;
  /** Idle limit of one request's connection, in seconds. */
  timeout(request: Request, seconds: number): void;
}

/** The authorities that are believed when none is named, as PEM text. */
function usualAuthorities(): string {
  const { getCACertificates } = tls as {
    // Not in the types that Deno has of `node:tls`.
    getCACertificates?: (which: "default") => readonly string[];
  };
  return (getCACertificates?.("default") ?? tls.rootCertificates).join("\n");
}

/** Methods that Bun's `fetch` sends as they are; it turns others into GET. */
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

/** Whether a field says what the client's program is. */
function isUserAgent([name]: Fields[number]): boolean {
  return name === "user-agent";
}

/** What all transports of this process share, made when the first one is. */
let share: Share | undefined;

/** Sends attempts with Bun's `fetch`. */
export class BunTransport implements Transport {
  // A complete body goes out with its length; a stream would lose it.
  readonly wholeUpTo = 256 * 1024;
  // Past that Bun streams in small pieces: at 16 KB reading first and answering
  // then does 1.25 times the requests a second, at 64 KB 1.35 times.
  readonly nativeUpTo = 8 * 1024;
  readonly copiesFields = true;
  readonly #tls: BunInit["tls"];
  readonly #userAgent: string;
  readonly #leave: (() => void) | undefined;

  constructor(options: TransportOptions = {}) {
    const { ca, cert, key } = options.tls ?? {};
    if (ca !== undefined || cert !== undefined) {
      this.#tls = {
        // Besides the usual authorities, and not in their place. One text: a
        // list of them is read anew for each connection, which takes longer.
        ...(ca === undefined ? {} : { ca: `${usualAuthorities()}\n${ca}` }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
      };
    }
    this.#userAgent = options.userAgent ?? "sluice";
    const { backends } = options;
    if (backends !== undefined && env(BUN_LIMIT) === undefined) {
      share ??= new Share(BUN_DEFAULT);
      this.#leave = share.join(backends);
    }
  }

  forFetch(fields: Fields): Fields {
    // Bun would name itself. The field cannot be kept away, only emptied.
    if (!fields.some(isUserAgent)) fields.push(["user-agent", ""]);
    return fields;
  }

  sendsMethod(method: string): boolean {
    return METHODS.has(method);
  }

  peerOf(request: Request, connection: unknown): string | undefined {
    return (connection as Partial<BunServerLike> | undefined)
      ?.requestIP?.(request)?.address;
  }

  full(backend: Backend): boolean {
    return this.#leave !== undefined && share!.full(backend);
  }

  send(outgoing: Outgoing): Promise<Response> {
    const { backend, payload, whole, method, signal, once, alone } = outgoing;
    const { fields, copied } = outgoing;
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
      // Bun repeats QUERY by itself when a kept connection dies under it, up to
      // three times, as it does those that may be repeated; POST and PATCH it
      // does not, nor anything with a stream for a body. Of 31 methods measured.
      if (once && method !== "POST" && method !== "PATCH") {
        init.keepalive = false;
      }
    } else {
      init.body = payload.stream;
      // A stream goes out chunked unless its length is said here.
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

  left(request: Request): boolean {
    // An upload that the client cut makes `fetch` fail like a lost backend.
    return request.signal.aborted;
  }

  strip(response: Response): boolean {
    // Fields of a fetched answer can be changed on Bun; a copy of them and of the
    // answer would cost 3 µs of about 45 for a small one.
    const { headers } = response;
    const connection = headers.get("connection");
    if (
      headers.has("location") ||
      (connection !== null && !/^(?:keep-alive|close)$/i.test(connection))
    ) return false;
    if (headers.has("transfer-encoding")) headers.delete("content-length");
    for (const name of RESPONSE_DROPPED) headers.delete(name);
    return true;
  }

  respond(
    response: Response,
    fields: Fields | undefined,
    body: Chunk | ReadableStream<Chunk> | null | undefined,
    head: boolean,
  ): Response {
    const { status, headers } = response;
    if (head && !headers.has("content-length")) {
      // Without either field Bun would say a length of 0.
      fields ??= [...headers];
      fields.push(["transfer-encoding", "chunked"]);
    } else if (fields === undefined && (body === undefined || body === null)) {
      return response;
    }
    let given = body === undefined ? response.body : body;
    if (given instanceof Uint8Array && !headers.has("content-type")) {
      given = untyped(given);
    }
    return new Response(given, { status, headers: fields ?? headers });
  }

  handsOver(response: Response): boolean {
    // Bun calls a body of no type `application/octet-stream`, which a browser
    // offers to save; only one that is given as a stream it leaves alone.
    return response.headers.has("content-type");
  }

  async probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
  ): Promise<ProbeResult> {
    const init = this.#init(backend);
    init.signal = signal;
    // A connection of its own: a probe asks whether new ones are taken.
    init.keepalive = false;
    init.headers = [
      ["host", backend.authority],
      ["user-agent", this.#userAgent],
    ];
    try {
      const response = await fetch(
        `${backend.origin}${backend.basePath}${path}`,
        init,
      );
      response.body?.cancel().catch(() => {});
      return { status: response.status };
    } catch (error) {
      return { error: bunFailure(error).reason };
    }
  }

  release(request: Request, connection: unknown): void {
    (connection as Partial<BunServerLike> | undefined)?.timeout?.(request, 1);
  }

  unhurried(request: Request, connection: unknown): void {
    (connection as Partial<BunServerLike> | undefined)?.timeout?.(request, 0);
  }

  dial(backend: Backend, signal: AbortSignal): Promise<Socket> {
    return dial(backend, signal, this.#tls);
  }

  undialled(error: unknown): Failure {
    return socketFailure(error);
  }

  accept(
    request: Request,
    connection: unknown,
    acceptance: Acceptance,
    events: ClientEvents,
  ): Response {
    return acceptBun(request, connection, acceptance, events);
  }

  close(): void {
    this.#leave?.();
  }

  #init(backend: Backend): BunInit {
    const init: BunInit = {
      redirect: "manual",
      // Bodies as they come, and no `Accept-Encoding` of Bun's own.
      decompress: false,
      // Bun would end any request after six minutes.
      timeout: false,
    };
    if (backend.socketPath !== undefined) init.unix = backend.socketPath;
    if (this.#tls !== undefined) init.tls = this.#tls;
    if (
      backend.ownOrigin !== backend.origin && backend.origin.startsWith("https")
    ) {
      // Its URL has an address; its certificate has the name.
      const servername = backend.authority.replace(/:\d+$/, "");
      init.tls = { ...this.#tls, servername };
    }
    return init;
  }
}

/**
 * Bytes as a stream that is over at once: Bun sends it with its length, if its
 * high-water mark lets it be buffered whole, and does not call it
 * `application/octet-stream` where nobody has named a type.
 */
function untyped(bytes: Chunk): ReadableStream<Chunk> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  }, { highWaterMark: bytes.byteLength + 1 });
}

/** Bun's server, as far as it is used here. */
interface BunServer extends BunServerLike {
  readonly port: number;
  readonly pendingRequests: number;
  readonly pendingWebSockets: number;
  stop(closeActive?: boolean): Promise<void>;
}

/** The part of Bun's global that is used here. */
interface BunGlobal {
  serve(options: Record<string, unknown>): BunServer;
}

/**
 * Seconds that a connection may be idle between requests, or take to send a
 * request's head: the longest that Bun can count. A request that lasts has its
 * connection taken out of the limit, see {@linkcode BunTransport.unhurried}.
 */
const IDLE_S = 255;

/** The answer in place of one that could not be begun. */
function broken(): Response {
  return answer(502, "http_response_incomplete");
}

/** Listens with `Bun.serve`. */
export function listenBun(handler: Handler, options: ListenOptions): Listener {
  const { host, tls } = options;
  const { Bun } = globalThis as unknown as { Bun: BunGlobal };
  const make: MakeServer = (fetch, { port, shared = false, tls }) =>
    Bun.serve({
      port,
      hostname: host,
      reusePort: shared,
      idleTimeout: IDLE_S,
      // Bun's own limit is 128 MB; ours is `MAX_BODY`.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      // Otherwise a fault is answered with a page that shows this program.
      development: false,
      // The handler never throws: this is a backend's body that broke before
      // anything of the answer had left.
      error: broken,
      fetch,
      websocket: bunWebSocket,
      ...(tls === undefined ? {} : { tls }),
    });
  if (tls !== undefined) {
    return listenTlsBun(make, handler, { ...options, tls });
  }
  const server = make(handler, options);
  return {
    port: server.port,
    cutsUploads: false,
    close: () => server.stop(),
    kill: () => void server.stop(true),
  };
}
