/**
 * Requests over sockets: Sluice's own HTTP/1.1 client as a transport.
 *
 * The client sends messages unchanged, knows whether anything was sent, and
 * checks the framing of every body. This module only maps its errors to the
 * proxy's failures, and opens connections.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { BackendTlsOptions } from "../config/options.ts";
import type { ProbeResult } from "../health.ts";
import { type Answer as Answered, Unanswered } from "../http/call.ts";
import { Client } from "../http/client.ts";
import type { Pool } from "../http/pool.ts";
import type { Socket } from "../http/socket.ts";
import { AnswerLines } from "../proxy/fields.ts";
import {
  type Answer,
  type Connections,
  type Failure,
  type Outgoing,
  probeFields,
  type ProbeOptions,
  type Transport,
} from "../proxy/transport.ts";
import type { Clock } from "../base/clock.ts";
import { dial } from "./batched.ts";
import { destinationOf, type Open } from "./destination.ts";
import { probeFailure, socketFailure } from "./failures.ts";

/** Options for {@linkcode SocketTransport}. */
export interface SocketTransportOptions {
  /** Opens connections. */
  open: Open;
  /** TLS towards `https:` backends, as PEM text. */
  tls?: BackendTlsOptions | undefined;
  /** Milliseconds to connect, TLS handshake included. */
  connectTimeoutMs: number;
  /** The `User-Agent` of probes. */
  userAgent: string;
  /** Responses up to this declared length are buffered. */
  wholeUpTo: number;
  /** Whether an upload continues briefly after the end of its response. */
  lingers: boolean;
  /** Whether the memory of response bodies is returned for reuse. */
  reuses: boolean;
  /** Whether a socket may deliver bytes later than they were received. */
  lags: boolean;
  /** Time and timers. */
  clock: Clock;
}

/** A global of both runtimes, which is not a Web API. */
declare const setImmediate: (callback: () => void) => unknown;

/** Sends attempts over sockets. */
export class SocketTransport implements Transport {
  readonly #options: SocketTransportOptions;
  readonly #client: Client;
  readonly #pools = new Map<Backend, Pool>();

  constructor(options: SocketTransportOptions) {
    const { clock, wholeUpTo, lingers, reuses, lags } = options;
    this.#options = options;
    this.#client = new Client({
      timers: {
        later: (callback) => void setImmediate(callback),
        setTimeout: (callback, ms) => clock.setTimeout(callback, ms),
        setInterval: (callback, ms) => clock.setInterval(callback, ms),
        clear: (handle) => clock.clear(handle),
      },
      wholeUpTo,
      lingers,
      reuses,
      lags,
    });
  }

  sendsMethod(method: string): boolean {
    // After a successful CONNECT the connection is no longer HTTP.
    return method !== "CONNECT";
  }

  send(outgoing: Outgoing): Promise<Answer> {
    const { backend, url, method, fields, payload, whole } = outgoing;
    return this.#pool(backend).send({
      method,
      // Both runtimes' handlers get a path that is never empty.
      target: url.slice(backend.origin.length),
      fields,
      whole: outgoing.empty ? EMPTY : whole,
      payload: payload && {
        reading: payload.reading(false),
        length: payload.length,
      },
      repeatable: !outgoing.once,
      alone: outgoing.alone,
      signal: outgoing.abort,
    }).then(answerOf);
  }

  classify(error: unknown): Failure {
    return error instanceof Unanswered
      ? failureOf(error)
      : socketFailure(error);
  }

  async probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
    options: ProbeOptions = {},
  ): Promise<ProbeResult> {
    const { host = backend.authority, method = "GET" } = options;
    const { userAgent } = this.#options;
    try {
      const { status, body } = await this.#pool(backend).send({
        method,
        target: backend.basePath + path,
        fields: probeFields(
          [["host", host], ["user-agent", userAgent]],
          options,
        ),
        repeatable: true,
        // A probe tests whether new connections are accepted.
        alone: true,
        signal,
      });
      if (body !== null && "read" in body) body.cancel(undefined);
      return { status };
    } catch (error) {
      return probeFailure(this.classify(error));
    }
  }

  dial(
    backend: Backend,
    signal: AbortSignal,
    limitMs: number,
  ): Promise<Socket> {
    const { open, tls } = this.#options;
    return dial(open, backend, { signal, limitMs, tls });
  }

  classifyDial(error: unknown): Failure {
    return socketFailure(error);
  }

  connections(backend: Backend): Connections {
    const pool = this.#pools.get(backend);
    if (pool === undefined) return NO_CONNECTIONS;
    const { size, idle } = pool;
    return { busy: size - idle, idle };
  }

  forget(backend: Backend): void {
    const pool = this.#pools.get(backend);
    if (pool === undefined) return;
    this.#pools.delete(backend);
    this.#client.retire(pool);
  }

  close(): void {
    this.#client.close(CLOSED);
    this.#pools.clear();
  }

  #pool(backend: Backend): Pool {
    let pool = this.#pools.get(backend);
    if (pool === undefined) {
      const { open, tls, connectTimeoutMs } = this.#options;
      const destination = destinationOf(backend);
      pool = this.#client.pool((signal) =>
        open(destination, { signal, limitMs: connectTimeoutMs, tls })
      );
      this.#pools.set(backend, pool);
    }
    return pool;
  }
}

const EMPTY = new Uint8Array();
const NO_CONNECTIONS: Connections = { busy: 0, idle: 0 };
const CLOSED = new Error("Cannot go on: the proxy was stopped");

function answerOf({ status, fields, body, reuse }: Answered): Answer {
  return { status, headers: new AnswerLines(fields), body, reuse };
}

/** Classifies an error of the client. */
function failureOf({ reason, sent, cause }: Unanswered): Failure {
  switch (reason) {
    case "unconnected": {
      const failure = socketFailure(cause);
      return sent ? { ...failure, sent } : failure;
    }
    case "ended":
    case "broken":
      return { ...closedEarly(cause), sent };
    case "malformed":
      return { ...INVALID, sent };
    case "cut":
      return { ...CUT, sent };
    case "payload":
      return { ...UPLOAD, sent };
    case "unsendable":
      return { ...UNSENDABLE, sent };
  }
}

/** In TLS 1.3 a server requests a certificate after the client's handshake. */
function closedEarly(cause: unknown): Omit<Failure, "sent"> {
  if (cause === undefined) return CLOSED_EARLY;
  const failure = socketFailure(cause);
  return failure.type.startsWith("tls_") ? failure : CLOSED_EARLY;
}

const CLOSED_EARLY = {
  type: "connection_terminated",
  fault: "backend",
  reason: "the connection was closed before the answer",
} as const;
const INVALID = {
  type: "http_protocol_error",
  fault: "backend",
  reason: "the answer was not valid HTTP",
} as const;
const CUT = {
  type: "http_response_incomplete",
  fault: "backend",
  reason: "a truncated body",
} as const;
const UPLOAD = {
  type: "http_request_error",
  fault: "client",
  reason: "the client cut its upload",
} as const;
const UNSENDABLE = {
  type: "proxy_internal_error",
  fault: "proxy",
  reason: "the request cannot be said in HTTP/1.1",
} as const;
