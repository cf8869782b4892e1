/**
 * Deno's part: how one attempt is sent, and what its quirks ask for. Measured
 * on 2.9.6.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ProbeResult } from "../health.ts";
import {
  type Chunk,
  type Reading,
  readingInto,
  streamOf,
} from "../proxy/body.ts";
import {
  type Fields,
  isResponseDropped,
  Lines,
  type Read,
} from "../proxy/headers.ts";
import type { Failure, Outgoing, Transport } from "../proxy/transport.ts";
import type { Acceptance, ClientEvents, Socket } from "../proxy/socket.ts";
import { dial } from "./dial.ts";
import { denoFailure, socketFailure } from "./failures.ts";
import { answerLines, Draft, requestLines, wholeBody } from "./inside_deno.ts";
import type { Handler, Listener, ListenOptions } from "./listener.ts";
import type { TransportOptions } from "./transport_options.ts";
import { listenTlsDeno } from "./tls_deno.ts";
import { sharing } from "./workers.ts";
import { acceptDeno } from "./websocket_deno.ts";

/** How `fetch` takes a client; not part of the Web's `RequestInit`. */
interface DenoInit extends RequestInit {
  client?: Deno.HttpClient;
}

/**
 * Milliseconds that a connection to a backend is kept without a request: less
 * than any usual server keeps it (Node ends it after 5 s), since a request that
 * meets the end of its connection may have been received, and a POST is lost
 * then. It also gives back what a burst has opened; the default is 90 s.
 */
const IDLE_MS = 4_000;

/** Bytes that are asked for at least of an upload. */
const LEAST_UPLOAD = 64 * 1024;

/** Sends attempts with Deno's `fetch`. */
export class DenoTransport implements Transport {
  // A reset that comes before its signal was asked for is not told later.
  readonly losesResets = true;
  readonly wholeUpTo = 64 * 1024;
  readonly nativeUpTo = Infinity;
  readonly #options: TransportOptions;
  #pooled: Deno.HttpClient | undefined;
  #single: Deno.HttpClient | undefined;
  readonly #sockets = new Map<string, Deno.HttpClient>();
  /** The request that is filled for each attempt through a client, if any can. */
  readonly #drafts = new Map<Deno.HttpClient, Draft | undefined>();

  constructor(options: TransportOptions = {}) {
    this.#options = options;
  }

  forFetch(fields: Fields): Fields {
    // `fetch` hands a body over as it came if the first line of
    // `Accept-Encoding` is exactly `identity`, or if there is a `Range` (of whose
    // answer it could not decode a part); nothing else switches decoding off.
    // The client's own goes out after it, as a line of its own.
    let named = false;
    let raw = false;
    for (const [name, value] of fields) {
      if (name === "user-agent") named = true;
      else if (name === "range") raw = true;
      else if (name === "accept-encoding") raw ||= /^identity$/i.test(value);
    }
    // Deno would name itself. The field cannot be kept away, only emptied.
    if (!named) fields.push(["user-agent", ""]);
    if (!raw) fields.unshift(["accept-encoding", "identity"]);
    return fields;
  }

  sendsMethod(method: string): boolean {
    // `fetch` upper-cases the methods that the standard names, so `get` would
    // leave as `GET`; all others go out letter by letter. TRACK it forbids.
    return method !== "CONNECT" && method !== "TRACK" &&
      method === method.toUpperCase();
  }

  peerOf(_request: Request, connection: unknown): string | undefined {
    const address = (connection as Partial<Deno.ServeHandlerInfo> | undefined)
      ?.remoteAddr;
    return (address as Deno.NetAddr | undefined)?.hostname;
  }

  connectionOf(connection: unknown): string | undefined {
    const address = (connection as Partial<Deno.ServeHandlerInfo> | undefined)
      ?.remoteAddr as Deno.NetAddr | undefined;
    // HTTP/2 is taken on every port, with TLS and without.
    return address?.port === undefined
      ? undefined
      : `${address.hostname} ${address.port}`;
  }

  read(request: Request): Read | undefined {
    const lines = requestLines(request);
    return lines && new Lines(lines);
  }

  whole(request: Request, length: number): Chunk | undefined {
    return wholeBody(request, length);
  }

  reading(
    stream: ReadableStream<Chunk>,
    length: number | undefined,
    upload: boolean,
  ): Reading {
    // The server takes from a socket at once as much as it was ever asked for on
    // that connection, at first 1 KB. Were just the few bytes of a small upload
    // asked for, the next one would not come whole with its head, and cost 1.3
    // times. Of an answer nothing else comes.
    return readingInto(stream, length, upload ? LEAST_UPLOAD : 0);
  }

  lengthOf(response: Response): number {
    const lines = answerLines(response);
    if (lines === undefined) {
      return Number(response.headers.get("content-length") ?? NaN);
    }
    for (const [name, value] of lines) {
      if (name === "content-length") return Number(value);
    }
    return NaN;
  }

  send(outgoing: Outgoing): Promise<Response> {
    const { backend, payload, whole, method, fields, signal } = outgoing;
    // A stream also of what is here whole: bytes `fetch` would send again.
    const stream = whole === undefined ? payload?.stream : streamOf(whole);
    const length = whole === undefined ? payload?.length : whole.byteLength;
    // `fetch` repeats a request by itself when a kept connection dies under it,
    // unless its body is a stream; and an empty stream would go out as chunked.
    // On a connection of its own there is nothing to repeat.
    const client = outgoing.alone || (stream === undefined && outgoing.once)
      ? this.#clientOnce(backend)
      : this.#client(backend);
    const url = backend.socketPath === undefined
      ? outgoing.url
      : named(outgoing);
    const headers = this.forFetch(fields);
    const draft = this.#draft(client);
    if (draft !== undefined) {
      return fetch(draft.filled({
        method,
        url,
        fields: headers,
        signal,
        body: stream,
        length,
      }));
    }
    const init: DenoInit = {
      method,
      headers,
      redirect: "manual",
      signal,
      client,
    };
    if (stream !== undefined) {
      init.body = length === undefined ? stream : new Sized(stream, length);
    }
    return fetch(url, init);
  }

  classify(error: unknown): Failure {
    return denoFailure(error);
  }

  strip(response: Response): boolean {
    if (response.status === 205) return false;
    const list = answerLines(response);
    if (list === undefined) return false;
    let drops = 0;
    for (const [name, value] of list) {
      if (name === "location" || name === "transfer-encoding") return false;
      if (
        name === "connection" && value !== "keep-alive" && value !== "close"
      ) return false;
      if (isResponseDropped(name)) drops++;
    }
    for (let i = list.length - 1; drops > 0; i--) {
      if (!isResponseDropped(list[i]![0])) continue;
      list.splice(i, 1);
      drops--;
    }
    return true;
  }

  respond(
    response: Response,
    fields: Fields | undefined,
    body: Chunk | ReadableStream<Chunk> | null | undefined,
    head: boolean,
  ): Response {
    const { headers } = response;
    // Deno sends a 205 without any framing, and the client waits for the rest of
    // it; 204 is what comes nearest to it and ends for certain.
    const status = response.status === 205 ? 204 : response.status;
    if (head && !headers.has("content-length")) {
      // A null body would be given a length of 0, which the answer to a GET may
      // not have. A stream that is empty gets no length at all.
      body = new ReadableStream({ pull: (controller) => controller.close() });
    } else if (
      fields === undefined && (body === undefined || body === null) &&
      status === response.status
    ) {
      return response;
    }
    return new Response(body === undefined ? response.body : body, {
      status,
      headers: fields ?? headers,
    });
  }

  async probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
  ): Promise<ProbeResult> {
    const init: DenoInit = {
      redirect: "manual",
      signal,
      // A connection of its own: a probe asks whether new ones are taken.
      client: this.#clientOnce(backend),
      headers: [
        ["host", backend.authority],
        ["accept-encoding", "identity"],
        ["user-agent", this.#options.userAgent ?? "sluice"],
      ],
    };
    try {
      const response = await fetch(
        `${backend.origin}${backend.basePath}${path}`,
        init,
      );
      response.body?.cancel().catch(() => {});
      return { status: response.status };
    } catch (error) {
      return { error: denoFailure(error).reason };
    }
  }

  dial(backend: Backend, signal: AbortSignal): Promise<Socket> {
    return dial(backend, signal, this.#options.tls);
  }

  undialled(error: unknown): Failure {
    return socketFailure(error);
  }

  accept(
    request: Request,
    _connection: unknown,
    acceptance: Acceptance,
    events: ClientEvents,
  ): Response {
    return acceptDeno(request, acceptance, events);
  }

  close(): void {
    this.#pooled?.close();
    this.#single?.close();
    for (const client of this.#sockets.values()) client.close();
    this.#sockets.clear();
    this.#drafts.clear();
    this.#pooled = this.#single = undefined;
  }

  #draft(client: Deno.HttpClient): Draft | undefined {
    let draft = this.#drafts.get(client);
    if (draft === undefined && !this.#drafts.has(client)) {
      draft = Draft.of(client);
      this.#drafts.set(client, draft);
    }
    return draft;
  }

  #client(backend: Backend): Deno.HttpClient {
    if (backend.socketPath !== undefined) {
      return this.#socketClient(backend.socketPath, undefined);
    }
    return this.#pooled ??= this.#make({});
  }

  #clientOnce(backend: Backend): Deno.HttpClient {
    if (backend.socketPath !== undefined) {
      return this.#socketClient(backend.socketPath, 0);
    }
    return this.#single ??= this.#make({ poolMaxIdlePerHost: 0 });
  }

  #socketClient(path: string, idle: 0 | undefined): Deno.HttpClient {
    const key = `${idle ?? ""} ${path}`;
    let client = this.#sockets.get(key);
    if (client === undefined) {
      client = this.#make({
        proxy: { transport: "unix", path },
        // A connection is kept for each `Host` that clients have come up with.
        poolIdleTimeout: SOCKET_IDLE_MS,
        ...(idle === undefined ? {} : { poolMaxIdlePerHost: idle }),
      });
      this.#sockets.set(key, client);
    }
    return client;
  }

  #make(
    more: Partial<Deno.CreateHttpClientOptions>,
  ): Deno.HttpClient {
    const { ca, cert, key } = this.#options.tls ?? {};
    return Deno.createHttpClient({
      // Without it a `host` field is ignored without a word.
      allowHost: true,
      // One request, one connection at a time: what a kept connection does when
      // it dies is only known of HTTP/1.1, and Bun speaks no other by default.
      http2: false,
      poolIdleTimeout: IDLE_MS,
      ...(ca === undefined ? {} : { caCerts: [ca] }),
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
      ...more,
    });
  }
}

/**
 * The URL of a request to a Unix domain socket. Deno sends it as the target, in
 * absolute form, and for a server its authority goes before `Host` (RFC 9112
 * §3.2.2): so it has to be what `Host` says. A host that passes ours and that
 * `fetch` would not take, such as `1.2.3.999`, is not the backend's fault.
 */
function named({ url, backend, fields }: Outgoing): string {
  const host = fields.find(([name]) => name === "host")?.[1];
  const wanted = `http://${host}${url.slice(backend.origin.length)}`;
  return URL.canParse(wanted) ? wanted : url;
}

/**
 * A body of known length that is read as it is sent. `fetch` takes length and
 * stream from anything that is a `Blob`; given the stream alone it would send
 * it as chunked. It never repeats such a request by itself, and refuses to end
 * one whose stream ends early. Measured on 2.9.6 from 1 byte to 10 MB.
 */
export class Sized extends Blob {
  readonly #stream: ReadableStream<Chunk>;
  readonly #size: number;

  constructor(stream: ReadableStream<Chunk>, size: number) {
    super();
    this.#stream = stream;
    this.#size = size;
  }

  override get size(): number {
    return this.#size;
  }

  override stream(): ReadableStream<Chunk> {
    return this.#stream;
  }
}

/** Milliseconds that an idle connection to a Unix domain socket is kept. */
const SOCKET_IDLE_MS = 5_000;

/** Milliseconds before listening is tried again. */
const RELISTEN_MS = 50;

/** Listens with `Deno.serve`. */
export function listenDeno(
  handler: Handler,
  options: ListenOptions,
): Listener {
  const { port, host, tls, shared = false, log } = options;
  const own = tls && listenTlsDeno(handler, { ...options, tls });
  if (own !== undefined) return own;
  let closed = false;
  let shutting = false;
  const killed = new AbortController();
  let server = open(port);
  const bound = (server.addr as Deno.NetAddr).port;

  function open(on: number): Deno.HttpServer {
    const own = {
      port: on,
      hostname: host,
      // Said once by the program, when everything is ready.
      onListen() {},
      signal: killed.signal,
      onError: () => new Response("Internal error.\n", { status: 500 }),
      ...(tls ?? {}),
    };
    const given = shared ? sharing(own) : undefined;
    const opened = Deno.serve(given?.options ?? own, handler);
    if (given?.shared() === false) {
      killed.abort();
      throw new Error("this Deno does not share a port: write WORKERS=1");
    }
    // Running out of descriptors ends a server for good, and an uncaught
    // rejection would end the process too. What it serves already goes on, and
    // descriptors come back: listen anew.
    opened.finished.catch((error: unknown) => {
      if (closed) return;
      log(`cannot accept connections (${String(error)}): listening anew`);
      reopen();
    });
    return opened;
  }

  function reopen(): void {
    setTimeout(() => {
      if (closed) return;
      try {
        server = open(bound);
      } catch {
        reopen();
      }
    }, RELISTEN_MS);
  }

  return {
    port: bound,
    cutsUploads: true,
    close() {
      closed = shutting = true;
      return server.shutdown();
    },
    kill() {
      closed = true;
      // A server that is shutting down is no longer there to be aborted: the
      // attempt ends the process with an uncaught `BadResource`.
      if (!shutting) killed.abort();
    },
  };
}
