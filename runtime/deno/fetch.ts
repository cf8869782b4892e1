/**
 * Sends attempts with Deno's `fetch`, and handles its quirks. Measured on
 * 2.9.6.
 *
 * @module
 */

import type { Backend } from "../../balancer.ts";
import type { ProbeResult } from "../../health.ts";
import { MAX_SECONDS } from "../../http/persistence.ts";
import { readingInto, type Reads, streamOf } from "../../proxy/body.ts";
import { type Fields, isResponseDropped } from "../../proxy/fields.ts";
import { declaredLength, lengthIn } from "../../proxy/framing.ts";
import { isMapped } from "../../proxy/mapping.ts";
import type { Socket } from "../../proxy/socket.ts";
import {
  type Failure,
  type FetchTransport,
  type Native,
  type Outgoing,
  type ProbeOptions,
} from "../../proxy/transport.ts";
import { dial } from "../batched.ts";
import { denoFailure, socketFailure } from "../failures.ts";
import { probeByFetch } from "../fetch_probe.ts";
import type { TransportOptions } from "../transport_options.ts";
import { connectDeno } from "./connect.ts";
import { answerLines, Draft } from "./inside.ts";
import { Sized } from "./sized.ts";

/** Deno's option for the client; not part of the Web's `RequestInit`. */
interface DenoInit extends RequestInit {
  client?: Deno.HttpClient;
}

/**
 * Milliseconds to keep an idle connection, as over sockets. It also closes the
 * connections of a burst, and those to a Unix domain socket, where each `Host`
 * that clients invent has its own; the default is 90 s.
 */
const IDLE_MS = MAX_SECONDS * 1_000;

/** Reads of responses, whose chunks are not returned: no more than is left. */
const READS: Reads = { least: 0, most: 256 * 1024, spare: [] };

/** Sends attempts with Deno's `fetch`. */
export class DenoFetch implements FetchTransport {
  readonly native: Native = {
    upTo: Infinity,
    lengthOf,
    // A connection carries nothing else after a response.
    reading: (stream, length) => readingInto(stream, length, READS),
    strip,
  };
  readonly #options: TransportOptions;
  #pooled: Deno.HttpClient | undefined;
  #single: Deno.HttpClient | undefined;
  readonly #sockets = new Map<string, Deno.HttpClient>();
  /** The reusable request of each client, where supported. */
  readonly #drafts = new Map<Deno.HttpClient, Draft | undefined>();

  constructor(options: TransportOptions = {}) {
    this.#options = options;
  }

  forFetch(fields: Fields): Fields {
    // `fetch` decodes bodies unless the first line of `Accept-Encoding` is
    // exactly `identity`, or there is a `Range` (a part cannot be decoded);
    // nothing else disables decoding. The client's own value follows as a
    // separate line.
    let named = false;
    let raw = false;
    for (const [name, value] of fields) {
      if (name === "user-agent") named = true;
      else if (name === "range") raw = true;
      else if (name === "accept-encoding") raw ||= /^identity$/i.test(value);
    }
    // Deno would add its own. The field cannot be removed, only emptied.
    if (!named) fields.push(["user-agent", ""]);
    if (!raw) fields.unshift(["accept-encoding", "identity"]);
    return fields;
  }

  sendsMethod(method: string): boolean {
    // `fetch` converts standard methods to upper case, so `get` would become
    // `GET`; others are sent unchanged. TRACK is forbidden.
    return method !== "CONNECT" && method !== "TRACK" &&
      method === method.toUpperCase();
  }

  send(outgoing: Outgoing): Promise<Response> {
    const { backend, payload, whole, method, fields } = outgoing;
    const { signal } = outgoing.abort;
    // A stream even for a complete body: `fetch` would resend bytes by itself.
    const stream = whole === undefined ? payload?.stream() : streamOf(whole);
    const length = whole === undefined ? payload?.length : whole.byteLength;
    // `fetch` repeats a request when a kept connection fails, unless its body
    // is a stream; and an empty stream would be sent chunked. On a connection
    // of its own, nothing is repeated.
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
      own: [
        ["accept-encoding", "identity"],
        ["user-agent", this.#options.userAgent ?? "sluice"],
      ],
      send: (url, init) => {
        const fields = init.headers;
        // Its own connection: a probe tests whether new ones are accepted.
        const client = this.#clientOnce(backend);
        return fetch(
          backend.socketPath === undefined
            ? url
            : named({ url, backend, fields }),
          { ...init, client },
        );
      },
      classify: denoFailure,
    });
  }

  dial(
    backend: Backend,
    signal: AbortSignal,
    limitMs: number,
  ): Promise<Socket> {
    const { tls } = this.#options;
    return dial(connectDeno, backend, { signal, limitMs, tls });
  }

  classifyDial(error: unknown): Failure {
    return socketFailure(error);
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
      // Without it, `fetch` ignores a `host` field.
      allowHost: true,
      // One request at a time per connection: only for HTTP/1.1 is it known
      // what happens when a kept connection fails. Bun does the same by
      // default.
      http2: false,
      poolIdleTimeout: IDLE_MS,
      ...(ca === undefined ? {} : { caCerts: [ca] }),
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
      ...more,
    });
  }
}

/**
 * The URL of a request to a Unix domain socket. Deno sends it as the target in
 * absolute form, whose authority takes precedence over `Host` (RFC 9112
 * §3.2.2): so it must equal `Host`. A host that passes our check but not
 * `fetch`'s, such as `1.2.3.999`, is not the backend's fault.
 */
function named(
  { url, backend, fields }: Pick<Outgoing, "url" | "backend" | "fields">,
): string {
  const host = fields.find(([name]) => name === "host")?.[1];
  const wanted = `http://${host}${url.slice(backend.origin.length)}`;
  return URL.canParse(wanted) ? wanted : url;
}

/** The declared length of a response. */
function lengthOf(response: Response): number | undefined {
  const lines = answerLines(response);
  if (lines === undefined) return lengthIn(response.headers);
  let coding: string | null = null;
  let length: string | null = null;
  for (const [name, value] of lines) {
    if (name === "content-length") {
      length = length === null ? value : `${length}, ${value}`;
    } else if (name === "transfer-encoding") {
      // A second line means a second coding.
      coding = coding === null ? value : `${coding}, ${value}`;
    }
  }
  return declaredLength(coding, length);
}

/** Removes the fields of one connection from a response, in place. */
function strip(response: Response, basePath: string): boolean {
  if (response.status === 205) return false;
  const list = answerLines(response);
  if (list === undefined) return false;
  const noLength = response.status === 204;
  let drops = 0;
  for (const [name, value] of list) {
    if (name === "transfer-encoding" || isMapped(name, basePath)) {
      return false;
    }
    if (noLength && name === "content-length") return false;
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
