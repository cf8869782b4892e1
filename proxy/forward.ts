/**
 * One request's way: guard, admit, pick, say it on, send, judge, answer, settle.
 *
 * Each step is a short call in {@linkcode Forwarder}; what decides is pure and
 * lives in its own file (`guard`, `headers`, `retry`). A request that meets
 * nothing unusual allocates its fields, one {@linkcode Exchange} and one
 * `AbortController`, starts no timer, and its body is the runtime's own stream
 * from the backend's socket to the client's.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import { plainAddress } from "./addresses.ts";
import {
  type Chunk,
  CutShort,
  followed,
  gather,
  type Reading,
  reading,
} from "./body.ts";
import { answer, type ErrorType, STATUS } from "./errors.ts";
import {
  CLIENT_LEFT,
  Exchange,
  IDLE,
  type Owner,
  statusOf,
  STOPPED,
  TIMED_OUT,
  TOO_LARGE,
} from "./exchange.ts";
import {
  CLIMBING,
  impliedHost,
  isRefusal,
  type Refusal,
  refuseAsterisk,
  refuseFraming,
  refuseHost,
  refuseMethod,
  targetOf,
} from "./guard.ts";
import {
  type Fields,
  type Read,
  type RequestFacts,
  type RequestRules,
  responseFields,
} from "./headers.ts";
import type { InFlight } from "./in_flight.ts";
import type { KeyOf } from "./keys.ts";
import type { Explainer, Meter, Settled } from "./observed.ts";
import { type Carried, carriedOf } from "./resume.ts";
import { decide, isIdempotent, type RetryBudget } from "./retry.ts";
import type { Sticky } from "./sticky.ts";
import { newSpanId, setSpan, traceOf } from "./trace.ts";
import type { Failure, Payload, Transport } from "./transport.ts";
import {
  type Body,
  gathers,
  KEPT_BODY,
  uploadOf,
  type UploadOptions,
} from "./upload.ts";
import {
  Bridge,
  HandshakeFailed,
  handshakeFailure,
  handshakeOf,
  type Opened,
  shakeHands,
} from "./websocket.ts";

/** Milliseconds that a small answer may take before its header goes ahead. */
const ANSWER_PATIENCE_MS = 10;

/** Milliseconds before all backends are asked again to carry an answer on. */
const TAKE_UP_MS = 100;

/** Bytes of a declared answer that is read whole when it is looked at. */
const SMALL_ANSWER = 64 * 1024;

/**
 * Whole answers in a row after which not every body of a backend is looked at any
 * more. To see a body end is to read it here, which costs half of the requests a
 * second (measured: 0.53 of the native hand-over on Deno, 0.55 on Bun). A backend
 * that is new or has failed is watched closely, so that one that cuts its bodies
 * is ejected after as many as the setting says.
 */
const PROVEN = 64;
/**
 * Milliseconds between two looks at the bodies of a proven backend: a busy one
 * is looked at ten times a second, which costs nothing that can be measured, and
 * of few with less to do than that nothing escapes.
 */
const LOOK_MS = 100;
/**
 * Milliseconds between two looks at the bodies of proven backends, whichever:
 * ten a second of each of a thousand backends would be all of them.
 */
const ANY_LOOK_MS = { least: 10, most: 1_000 };
/**
 * Declared bytes a millisecond that are looked at of proven backends: of answers
 * of 16 MB two of them serve some 60 a second, of which twenty were looked at.
 * Without this limit that was 0.75 of the five-liner's requests on Deno and 0.84
 * on Bun, and with it 1.00 and 0.95 (`bench:curves`, a run of each).
 */
const LOOK_BYTES = 10 * 1024;

/** Failures that are found here and not by the runtime. */
const BAD_STATUS: Failure = {
  type: "http_protocol_error",
  sent: true,
  fault: "backend",
  reason: "an invalid status",
};
const UNFRAMED: Failure = {
  type: "http_protocol_error",
  sent: true,
  fault: "backend",
  reason: "an answer whose end cannot be known",
};
const TRUNCATED: Failure = {
  type: "http_response_incomplete",
  sent: true,
  fault: "backend",
  reason: "a truncated body",
};
const SLOW: Failure = {
  type: "http_response_timeout",
  sent: true,
  fault: "backend",
  reason: "no answer within the time limit",
};
const ENDED: Failure = {
  type: "destination_unavailable",
  sent: true,
  fault: "proxy",
  reason: "the proxy was stopped",
};
const LEFT: Failure = {
  type: "http_request_error",
  sent: true,
  fault: "client",
  reason: "the client left",
};
const DAWDLED: Failure = {
  type: "http_request_error",
  sent: true,
  fault: "client",
  reason: "the client did not send its body in time",
};
const THREW: Failure = {
  type: "connection_terminated",
  sent: true,
  fault: "backend",
  reason: "the function threw",
};

/** Options for {@linkcode Forwarder}; the values are checked by its caller. */
export interface ForwarderOptions extends UploadOptions {
  /** The backends. */
  pool: Pool;
  /** What becomes of the request's fields. */
  rules: RequestRules;
  /** The requests under way. */
  inFlight: InFlight;
  /** What `Host` says to a backend. */
  hostHeader: "auto" | "preserve" | "backend";
  /** Most retries of a request. */
  retries: number;
  /** What retries are taken from. */
  budget: RetryBudget;
  /** Milliseconds until the response header, all attempts together. */
  timeoutMs: number;
  /** Milliseconds to connect, where the connection is opened here. */
  connectTimeoutMs: number;
  /** Milliseconds for a client to send or to take the next piece of a body. */
  clientTimeoutMs: number;
  /** Bytes of a WebSocket message. */
  maxMessageBytes: number;
  /** Requests at once. */
  maxInFlight: number;
  /** Whether a broken answer is carried on from another backend. */
  resume: boolean;
  /** Whether every body must be followed to its end. */
  exact: boolean;
  /** Whether requests get an id. */
  requestId: boolean;
  /** Whether requests are traced. */
  trace: boolean;
  /** Takes each outcome. */
  outcome: (
    backend: Backend,
    good: boolean,
    startedAt: number,
    reason: string,
  ) => void;
  /** Takes each request that is over; none spares the work. */
  settled: ((settled: Settled) => void) | undefined;
  /** What the pool's policy hashes; none when it hashes nothing. */
  keyOf: KeyOf | undefined;
  /** The cookies of a policy that sticks; none when it does not. */
  sticky: Sticky | undefined;
  /** Whether the pool's policy goes by latencies. */
  timed: boolean;
  /** Looks what other workers have under way; none when there are none. */
  refresh: (() => void) | undefined;
  /** Whether answers should now end their connections. */
  closing: () => boolean;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** How an answer's body was begun; `undefined` leaves it to the runtime. */
type Begun = Chunk | ReadableStream<Chunk> | null | undefined;

/** Takes requests through all steps. */
export class Forwarder implements Owner {
  readonly #options: ForwarderOptions;
  #started = 0;
  /** When the next body of a proven backend may be looked at. */
  #looksAt = 0;
  /** Counts; none until somebody wants figures. */
  meter: Meter | undefined;
  /** Explains; none while nobody may know. */
  explainer: Explainer | undefined;

  /** Makes a forwarder; it holds nothing that must be ended. */
  constructor(options: ForwarderOptions) {
    this.#options = options;
  }

  /** Answers a request. Never rejects. */
  handle(request: Request, connection?: unknown): Response | Promise<Response> {
    const { transport, inFlight, rules, clock } = this.#options;
    const method = request.method;
    // Deno answers for a request's `Headers` no longer than for the request: who
    // wants them in the end, for a log, has to have them from the beginning.
    const headers = this.#options.settled === undefined
      ? transport.read?.(request) ?? request.headers
      : request.headers;
    const url = request.url;
    const startedAt = clock.now();
    this.#started++;

    // 1. Guard.
    const host = headers.get("host") ??
      impliedHost(url, peerOf(transport, request, connection) !== undefined);
    const refusal = refuseMethod(method, transport.sendsMethod) ??
      refuseHost(host);
    if (refusal !== undefined) {
      return this.#refuse(refusal, request, connection, startedAt);
    }
    const target = targetOf(url, host);
    if (isRefusal(target)) {
      return this.#refuse(target, request, connection, startedAt);
    }
    const length = headers.get("content-length");
    const odd = refuseAsterisk(method, target.text) ??
      refuseFraming(method, length, headers.get("transfer-encoding"));
    if (odd !== undefined) {
      return this.#refuse(odd, request, connection, startedAt);
    }
    if (rules.loops(headers)) {
      return this.#own(
        508,
        "proxy_loop_detected",
        request,
        connection,
        startedAt,
      );
    }
    const upgrades = method === "GET" && handshakeOf(headers);
    if (typeof upgrades === "object") {
      return this.#refuse(upgrades, request, connection, startedAt);
    }
    if (method === "OPTIONS" && headers.get("max-forwards") === "0") {
      // RFC 9110 §7.6.2: meant for whoever is reached first, which is us.
      this.#tell(204, 0, request, connection, startedAt);
      return new Response(null, { status: 204, headers: { allow: ALLOW } });
    }

    // 2. Admit.
    if (length !== null && Number(length) > this.#options.maxBodyBytes) {
      return this.#own(
        413,
        "http_request_denied",
        request,
        connection,
        startedAt,
      );
    }
    if (!inFlight.admit(this.#options.maxInFlight)) {
      return this.#own(
        503,
        "connection_limit_reached",
        request,
        connection,
        startedAt,
      );
    }

    const exchange = new Exchange(
      this,
      request,
      headers,
      connection,
      method,
      target,
      host!,
      url.charCodeAt(4) === 58 ? "http" : "https",
      peerOf(transport, request, connection),
      startedAt,
    );
    exchange.upgrades = upgrades;
    inFlight.add(exchange);
    this.#options.budget.request(startedAt);
    if (this.#options.requestId) exchange.requestId = requestIdOf(headers);
    if (this.#options.trace) {
      exchange.trace = traceOf(headers.get("traceparent"));
    }
    if (this.explainer !== undefined) {
      const asked = headers.get("sluice-debug");
      exchange.explained = asked !== null &&
        this.explainer.allows(asked, exchange.peer);
    }
    if (this.#options.keyOf !== undefined) {
      exchange.key = this.#options.keyOf({
        client: rules.clientAddress(request.headers, exchange.peer),
        target: target.text,
        headers: request.headers,
      });
    }
    if (this.#options.sticky !== undefined) {
      exchange.key = this.#options.sticky.keyOf(request.headers);
    }
    return this.#run(exchange, length);
  }

  /** Requests that have come in so far. */
  get started(): number {
    return this.#started;
  }

  /** The time, for exchanges. */
  now(): number {
    return this.#options.clock.now();
  }

  /** Whether an upload is being read that has not been answered yet. */
  get uploading(): boolean {
    for (const x of this.#options.inFlight) {
      if ((x as Exchange).uploading) return true;
    }
    return false;
  }

  /** WebSockets that are open. */
  get bridged(): number {
    let count = 0;
    for (const x of this.#options.inFlight) {
      if ((x as Exchange).bridge !== undefined) count++;
    }
    return count;
  }

  /** Closes all WebSockets, on both sides, since this process ends. */
  goAway(): void {
    for (const x of this.#options.inFlight) (x as Exchange).bridge?.goAway();
  }

  /** Ends whatever is under way: with an answer where there is none yet. */
  cut(): void {
    for (const x of this.#options.inFlight) (x as Exchange).end(STOPPED);
  }

  /** A request has lasted past a tick: now it is worth watching its client. */
  lasting(x: Exchange): void {
    // Bun closes a connection that is quiet for long, and cannot know that we
    // wait for a backend.
    this.#options.transport.unhurried?.(x.request, x.connection);
    // A request made in code ends by its own signal as well.
    const { signal } = x.request;
    const left = () => x.end(CLIENT_LEFT);
    // On Bun a signal that fired before anybody listened stays silent.
    if (signal.aborted) left();
    else signal.addEventListener("abort", left, { once: true });
  }

  /** What is due for one request at a tick. */
  look(x: Exchange, now: number): void {
    const { timeoutMs, idleTimeoutMs, transport } = this.#options;
    if (!x.answered) {
      if (now - x.waitsFrom >= timeoutMs) x.end(TIMED_OUT);
    } else if (
      x.watched && transport.gone?.(x.request, x.connection) === true
    ) {
      this.#settle(x);
    }
    if (idleTimeoutMs !== undefined && now - x.movedAt >= idleTimeoutMs) {
      x.end(IDLE);
    }
  }

  /** A followed body has ended. */
  bodyEnded(x: Exchange, how: "whole" | "broken" | "left"): void {
    const { backend } = x;
    // Nobody's any more: it could not be carried on, and whoever broke it off
    // has been told already.
    if (backend === undefined) return this.#settle(x);
    if (how === "whole") {
      backend.proven++;
      this.#judge(x, x.status);
    } else if (how === "broken" && x.cause === undefined) {
      backend.proven = 0;
      this.#options.outcome(backend, false, x.attemptAt, "a truncated body");
    } else if (x.cause === undefined) {
      x.status = 499;
    }
    this.#settle(x);
  }

  /**
   * Steps 3 to 7, until there is an answer. In one function, since one more
   * around it was 0.3 of the about 80 µs of a small GET in a profile on Deno.
   */
  async #run(x: Exchange, length: string | null): Promise<Response> {
    try {
      const { clock } = this.#options;
      const body = uploadOf(x, length, this.#options);
      if (body?.gathered === true && !await gathers(x, body)) {
        return this.#failed(x, this.#failureOf(x, undefined));
      }
      let failure: Failure | undefined;
      let retries = 0;
      let refusals = 0;
      for (;;) {
        // 3. Pick.
        const backend = this.#pick(x, x.tried);
        if (backend === undefined) return this.#nobody(x, failure);
        x.backend = backend;
        if (x.target.climbs && backend.basePath !== "") {
          this.#leave(x);
          x.answered = true;
          return this.#end(x, CLIMBING.status, CLIMBING.type, CLIMBING);
        }
        if (failure !== undefined) x.attemptAt = clock.now();
        let response: Response | undefined;
        let thrown: unknown;
        try {
          // 4. Say it on, and 5. send. Not awaited further than the header.
          response = await (x.upgrades && backend.answer === undefined
            ? this.#shake(x, backend)
            : this.#send(x, backend, body));
        } catch (error) {
          thrown = error;
        }
        // 6. Judge.
        if (x.opened !== undefined) {
          if (x.cause === undefined) return this.#join(x, backend, x.opened);
          x.opened.socket.destroy();
          x.opened = undefined;
        }
        if (response !== undefined && x.cause === undefined) {
          const length = this.#options.transport.lengthOf(response);
          if (response.status > 599 || response.status < 200) {
            response.body?.cancel().catch(() => {});
            failure = BAD_STATUS;
          } else if (length === undefined) {
            response.body?.cancel().catch(() => {});
            failure = UNFRAMED;
          } else {
            x.status = response.status;
            if (this.#options.timed) {
              this.#time(x, backend, body, x.status >= 500);
            }
            this.meter?.answered(
              backend,
              response.status,
              clock.now() - x.attemptAt,
            );
            // Not awaited when there is nothing to wait for: a turn of the event
            // loop for each request would be felt.
            const begun = this.#passes(x, backend, response, length)
              ? undefined
              : await this.#begin(x, response, length);
            if (!(begun instanceof CutShort) && x.cause === undefined) {
              x.upload?.forget();
              x.whole = undefined;
              this.#note(x, String(response.status));
              return this.#answer(x, backend, response, begun);
            }
            failure = x.cause === undefined
              ? TRUNCATED
              : this.#failureOf(x, undefined);
          }
        } else {
          response?.body?.cancel().catch(() => {});
          failure = this.#failureOf(x, thrown);
        }
        this.#note(x, failure.reason);
        if (failure.fault !== "client") {
          this.meter?.failed(backend, failure.type);
        }
        if (failure.fault === "backend") {
          if (this.#options.timed) this.#time(x, backend, body, true);
          backend.proven = 0;
          this.#options.outcome(backend, false, x.attemptAt, failure.reason);
        }
        this.#leave(x);
        const decision = decide({
          clientGone: failure.fault === "client" || x.cause === CLIENT_LEFT,
          timedOut: x.cause !== undefined,
          sent: failure.sent,
          idempotent: isIdempotent(x.method),
          replayable: body === undefined || x.whole !== undefined ||
            (x.upload !== undefined
              ? x.upload.whole && (!failure.sent || body.length! <= KEPT_BODY)
              : !failure.sent),
          retries,
          refusals,
          maxRetries: this.#options.retries,
          budget: () => this.#options.budget.take(clock.now()),
        });
        if (decision !== "retry") return this.#failed(x, failure);
        this.meter?.retried();
        if (failure.sent) retries++;
        else refusals++;
        (x.tried ??= []).push(backend);
      }
    } catch (error) {
      // A fault of ours. The client gets an answer and the process goes on.
      this.#options.log(`cannot forward a request: ${String(error)}`);
      this.#leave(x);
      return this.#end(x, 500, "proxy_internal_error");
    }
  }

  /** Step 3. Whoever is picked has got the request then. */
  #pick(
    x: Exchange,
    tried: readonly Backend[] | undefined,
  ): Backend | undefined {
    this.#options.refresh?.();
    for (;;) {
      const backend = this.#choose(x.key, tried);
      // Another worker may have given it its last place a moment ago. It knows
      // of that now, and is not chosen once more.
      if (backend === undefined || backend.enter()) return backend;
    }
  }

  /**
   * One that the runtime would let wait is passed over for one that it would
   * not; when it would for all, it is the policy's choice again.
   */
  #choose(
    key: string | undefined,
    tried: readonly Backend[] | undefined,
  ): Backend | undefined {
    const { pool, transport } = this.#options;
    const first = pool.pick(key, tried);
    if (first === undefined || transport.full?.(first) !== true) return first;
    const passed = [...tried ?? [], first];
    for (;;) {
      const next = pool.pick(key, passed);
      if (
        next === undefined || next.backup !== first.backup ||
        next.ejected !== first.ejected
      ) return first;
      if (!transport.full(next)) return next;
      passed.push(next);
    }
  }

  /** Makes one attempt. */
  #send(
    x: Exchange,
    backend: Backend,
    body: Body | undefined,
    more?: Fields,
  ): Promise<Response> {
    const { transport } = this.#options;
    const copied = more === undefined ? this.#copied(x, backend) : undefined;
    const fields = copied === undefined
      ? this.#fields(x, backend, more)
      : NO_FIELDS;
    let payload: Payload;
    if (body !== undefined && x.whole === undefined) {
      payload = {
        stream: body.stream ?? x.upload!.stream(),
        length: body.length,
      };
    }
    if (backend.answer !== undefined) {
      return call(backend.answer, x, fields, payload);
    }
    return transport.send({
      backend,
      url: backend.origin + backend.basePath + x.target.text,
      method: x.method,
      fields,
      copied,
      payload,
      whole: x.whole,
      once: !isIdempotent(x.method),
      signal: x.controller.signal,
    });
  }

  /** Step 4. */
  #fields(x: Exchange, backend: Backend, more?: Fields): Fields {
    const { rules } = this.#options;
    const fields = rules.fields(x.fields, this.#facts(x, backend));
    if (x.requestId !== undefined) {
      setField(fields, "x-request-id", x.requestId);
    }
    if (x.trace !== undefined) {
      setSpan(fields, x.trace, x.spanId = newSpanId());
    }
    if (x.method === "OPTIONS") countDown(fields);
    if (more !== undefined) {
      for (const [name, value] of more) setField(fields, name, value);
    }
    return fields;
  }

  /** Step 4 where a copy of the client's fields will do. */
  #copied(x: Exchange, backend: Backend): Headers | undefined {
    const { rules, transport } = this.#options;
    if (
      transport.copiesFields !== true || backend.answer !== undefined ||
      x.trace !== undefined || x.method === "OPTIONS"
    ) return undefined;
    const copied = rules.copied(x.request.headers, this.#facts(x, backend));
    if (x.requestId !== undefined) copied?.set("x-request-id", x.requestId);
    return copied;
  }

  #facts(x: Exchange, backend: Backend): RequestFacts {
    const { hostHeader } = this.#options;
    const preserve = hostHeader === "preserve" ||
      (hostHeader === "auto" && !backend.origin.startsWith("https:"));
    return {
      peer: x.peer,
      host: x.host,
      scheme: x.scheme,
      backendHost: preserve ? x.host : backend.authority,
    };
  }

  /**
   * Asks a backend for a WebSocket, on a connection of its own. What it answers
   * is the response, unless it grants it: then that is `x.opened`.
   */
  async #shake(x: Exchange, backend: Backend): Promise<Response | undefined> {
    const { transport } = this.#options;
    const { signal } = x.controller;
    const socket = await transport.dial(backend, signal).catch((error) => {
      throw new HandshakeFailed(transport.undialled(error));
    });
    const left = () => socket.destroy();
    signal.addEventListener("abort", left, { once: true });
    const fields = this.#fields(x, backend);
    try {
      const answer = await shakeHands(
        socket,
        backend.basePath + x.target.text,
        fields,
      );
      if (answer instanceof Response) return answer;
      signal.removeEventListener("abort", left);
      x.opened = answer;
      return undefined;
    } catch (error) {
      socket.destroy();
      throw new HandshakeFailed(handshakeFailure(error));
    }
  }

  /** Step 7 for a WebSocket: the client gets its 101, and the two are joined. */
  #join(x: Exchange, backend: Backend, opened: Opened): Response {
    const { transport, clock, log } = this.#options;
    x.answered = true;
    x.status = 101;
    this.meter?.answered(backend, 101, clock.now() - x.attemptAt);
    this.#note(x, "101");
    this.#judge(x, 101);
    const bridge = x.bridge = new Bridge(opened, {
      now: () => clock.now(),
      log,
      over: () => {
        x.bytes = bridge.bytes;
        this.#settle(x);
      },
    });
    const fields = responseFields(new Headers(opened.fields), {
      origin: backend.origin,
      basePath: backend.basePath,
      clientScheme: x.scheme,
      clientHost: x.host,
      added: x.requestId === undefined
        ? undefined
        : [["x-request-id", x.requestId]],
    });
    try {
      return transport.accept(x.request, x.connection, {
        protocol: opened.protocol,
        fields: fields ?? opened.fields,
      }, bridge);
    } catch (error) {
      const gone = transport.left?.(x.request) === true;
      if (!gone) log(`cannot upgrade a request: ${String(error)}`);
      const answered = this.#end(
        x,
        gone ? 499 : 501,
        gone ? "http_request_error" : "proxy_internal_error",
      );
      bridge.abandon();
      return answered;
    }
  }

  /**
   * Whether an answer's body is left to the runtime. It is when nobody needs to
   * know how it ends, and when its end can be seen without reading it.
   */
  #passes(
    x: Exchange,
    backend: Backend,
    response: Response,
    length: number,
  ): boolean {
    const { transport } = this.#options;
    // A stream of our own would go out without its length on Bun.
    if (x.upgrades) return false;
    if (
      this.#options.resume || this.#options.exact ||
      backend.maxConns !== Infinity || backend.proven < PROVEN ||
      transport.handsOver?.(response) === false
    ) return false;
    const now = x.attemptAt;
    if (now >= this.#looksAt && now - backend.lookedAt >= LOOK_MS) {
      backend.lookedAt = now;
      this.#looksAt = now + pauseAfter(length);
      return false;
    }
    if (length <= SMALL_ANSWER) return !(length > transport.nativeUpTo);
    return x.watched = transport.watch(
      x.connection,
      () => this.#settle(x),
    );
  }

  /** Takes an answer's body in hand. */
  async #begin(
    x: Exchange,
    response: Response,
    length: number,
  ): Promise<Exclude<Begun, undefined> | CutShort> {
    const { transport, clock, idleTimeoutMs } = this.#options;
    if (x.method === "HEAD" || NO_BODY.has(response.status)) return null;
    const stream = response.body as ReadableStream<Chunk> | null;
    if (stream === null) return null;
    if (length <= transport.wholeUpTo && idleTimeoutMs === undefined) {
      try {
        const gathered = await gather(this.#reading(stream, length), length, {
          clock,
          waitMs: ANSWER_PATIENCE_MS,
        });
        if (gathered.kind === "whole") {
          x.bytes = length;
          return gathered.bytes;
        }
        return this.#follow(x, response, gathered);
      } catch {
        // Nothing of it was passed on yet: as good as no answer at all.
        return new CutShort();
      }
    }
    return this.#follow(x, response, this.#reading(stream, length));
  }

  /** Reads an answer's body, of this length or `NaN`. */
  #reading(stream: ReadableStream<Chunk>, length: number): Reading {
    const known = Number.isNaN(length) ? undefined : length;
    return this.#options.transport.reading?.(stream, known, false) ??
      reading(stream);
  }

  /** Hands a body on while it is looked at, and carries it on if it breaks. */
  #follow(
    x: Exchange,
    response: Response,
    source: Reading,
  ): ReadableStream<Chunk> {
    if (this.#options.idleTimeoutMs !== undefined) x.movedAt = this.now();
    const carried = this.#options.resume
      ? carriedOf(x.method, x.request.headers, response)
      : undefined;
    return carried === undefined
      ? followed(source.read, source.cancel, x)
      : this.#carry(x, source, carried);
  }

  /** Hands on a body that another backend can go on with. */
  #carry(
    x: Exchange,
    first: Reading,
    carried: Carried,
  ): ReadableStream<Chunk> {
    let source = first;
    let last = false;
    const read = async (): Promise<Chunk | undefined> => {
      while (!last) {
        try {
          const piece = await source.read();
          if (piece === undefined && !carried.mayEnd()) throw new CutShort();
          last = piece === undefined;
          const out = last ? carried.rest() : carried.take(piece!);
          if (out.byteLength > 0) return out;
        } catch (error) {
          const next = await this.#takeUp(x, carried);
          if (next === undefined) throw error;
          source = next;
        }
      }
      return undefined;
    };
    return followed(read, (why) => {
      source.cancel(why);
      x.end(CLIENT_LEFT);
    }, x);
  }

  /**
   * Finds a backend that goes on where one has broken off. All are asked, also
   * more than once while the time limit lasts: a backend that restarts is back
   * within seconds, and the client has only this one chance. One that has
   * answered with something else is not asked again.
   */
  async #takeUp(x: Exchange, carried: Carried): Promise<Reading | undefined> {
    const { pool, clock, outcome } = this.#options;
    const broken = x.backend;
    if (broken === undefined || x.cause !== undefined) return undefined;
    broken.proven = 0;
    outcome(broken, false, x.attemptAt, TRUNCATED.reason);
    this.#note(x, TRUNCATED.reason);
    this.#leave(x);
    // From here the time limit counts anew, as for a request.
    x.waitsFrom = clock.now();
    x.answered = false;
    const unfit: Backend[] = [];
    let tried: Backend[] = [broken];
    try {
      while (x.cause === undefined) {
        const fields = carried.fields();
        if (fields === undefined) return undefined;
        const backend = this.#pick(x, tried);
        if (backend === undefined) {
          if (unfit.length > 0 && unfit.length >= pool.size) return undefined;
          tried = [...unfit];
          await new Promise<void>((r) => clock.setTimeout(r, TAKE_UP_MS));
          continue;
        }
        tried.push(backend);
        this.#take(x, backend);
        try {
          const response = await this.#send(x, backend, undefined, fields);
          if (carried.accepts(response) && response.body !== null) {
            return this.#reading(
              response.body as ReadableStream<Chunk>,
              NaN,
            );
          }
          response.body?.cancel().catch(() => {});
          this.#note(x, `status ${response.status} in place of the rest`);
          this.#judge(x, response.status);
          if (response.status < 500) unfit.push(backend);
        } catch (error) {
          const failure = this.#failureOf(x, error);
          this.#note(x, failure.reason);
          if (failure.fault === "backend") {
            outcome(backend, false, x.attemptAt, failure.reason);
          }
        }
        this.#leave(x);
      }
      return undefined;
    } finally {
      x.answered = true;
    }
  }

  /** A backend is given a request. */
  #take(x: Exchange, backend: Backend): void {
    x.backend = backend;
    x.attemptAt = this.now();
  }

  /** Step 7. */
  #answer(
    x: Exchange,
    backend: Backend,
    response: Response,
    begun: Exclude<Begun, CutShort>,
  ): Response {
    x.answered = true;
    const { transport } = this.#options;
    const added = this.#added(x, backend);
    // The usual answer goes out as it came, less what concerned its connection.
    // One to HEAD does not: both runtimes would invent a length where it has none.
    const asItIs = begun === undefined && added === undefined &&
      x.method !== "HEAD" && backend.answer === undefined &&
      transport.strip?.(response) === true;
    const answered = asItIs ? response : transport.respond(
      response,
      responseFields(response.headers, {
        origin: backend.ownOrigin,
        basePath: backend.basePath,
        clientScheme: x.scheme,
        clientHost: x.host,
        added,
      }),
      begun,
      x.method === "HEAD",
    );
    // 8. Settle: now, unless the body is followed or watched.
    if (begun instanceof ReadableStream) return answered;
    this.#judge(x, response.status);
    if (begun !== undefined) {
      if (begun !== null) backend.proven++;
      this.#settle(x);
    } else if (!x.watched) {
      this.#settle(x);
    }
    return answered;
  }

  /** Fields that an answer gets from us, if any. */
  #added(x: Exchange, backend: Backend): Fields | undefined {
    const { sticky, rules, closing: closes } = this.#options;
    const closing = closes();
    const cookie = sticky?.cookie(
      backend,
      x.key,
      rules.clientScheme(x.request.headers, x.peer, x.scheme) === "https",
    );
    if (
      !closing && x.requestId === undefined && !x.explained &&
      cookie === undefined
    ) return undefined;
    const added: Fields = [];
    if (cookie !== undefined) added.push(["set-cookie", cookie]);
    if (x.explained) added.push(["server-timing", this.#explanation(x)]);
    if (closing) added.push(["connection", "close"]);
    if (x.requestId !== undefined) added.push(["x-request-id", x.requestId]);
    return added;
  }

  /** Takes how long a backend took to a header, or to its failure. */
  #time(
    x: Exchange,
    backend: Backend,
    body: Body | undefined,
    failed: boolean,
  ): void {
    // How long a large upload took is the client's doing.
    if (body !== undefined && !(body.length! <= KEPT_BODY)) return;
    const now = this.now();
    const ms = now - x.attemptAt;
    // Who fails fast must not look fast, or it would draw everybody's requests.
    backend.observed(
      failed && backend.latencyMs > ms ? backend.latencyMs : ms,
      now,
    );
  }

  /** Passes on what an answer shows of its backend. */
  #judge(x: Exchange, status: number): void {
    const bad = status === 502 || status === 503 || status === 504;
    const backend = x.backend!;
    // A function is judged by whether it throws and by nothing else.
    if (bad && backend.answer !== undefined) return;
    this.#options.outcome(
      backend,
      !bad,
      x.attemptAt,
      bad ? `status ${status}` : "",
    );
  }

  /** The attempt is over, though the request may go on. */
  #leave(x: Exchange): void {
    if (x.backend === undefined) return;
    x.backend.leave();
    x.backend = undefined;
  }

  /** Step 8: the request is over. */
  #settle(x: Exchange): void {
    if (x.over) return;
    x.over = true;
    const { inFlight, settled } = this.#options;
    const backend = x.backend;
    this.#leave(x);
    inFlight.remove(x);
    this.meter?.request(statusOf(x), this.now() - x.startedAt);
    if (settled !== undefined) this.#report(x, backend);
  }

  /** How a request was answered, for a client that may know. */
  #explanation(x: Exchange): string {
    return this.explainer!.text(x.attempts ?? [], this.now() - x.startedAt);
  }

  #report(x: Exchange, backend: Backend | undefined): void {
    const { settled, rules } = this.#options;
    settled!({
      client: rules.clientAddress(x.request.headers, x.peer),
      method: x.method,
      target: x.target.text,
      status: statusOf(x),
      bytes: x.bytes,
      ms: this.now() - x.startedAt,
      backend,
      attempts: x.attempts ?? [],
      requestId: x.requestId,
      traceId: x.trace?.id,
      request: x.request,
    });
  }

  /** Notes an attempt, when somebody will want to know. */
  #note(x: Exchange, outcome: string): void {
    if (this.#options.settled === undefined && !x.explained) return;
    (x.attempts ??= []).push({
      backend: x.backend!,
      startedAt: x.attemptAt,
      ms: this.now() - x.attemptAt,
      outcome,
      spanId: x.spanId,
    });
  }

  /** What a failed attempt means. */
  #failureOf(x: Exchange, error: unknown): Failure {
    if (x.cause === CLIENT_LEFT || x.uploadBroke || x.cause === TOO_LARGE) {
      return LEFT;
    }
    if (x.cause === STOPPED) return ENDED;
    if (x.cause !== undefined) {
      // Who sent its body too slowly is not the backend's failure.
      return x.upload?.waiting === true || x.stopWaiting !== undefined
        ? DAWDLED
        : SLOW;
    }
    const { transport } = this.#options;
    if (transport.left?.(x.request) === true) return LEFT;
    if (x.backend?.answer !== undefined) return THREW;
    if (error instanceof HandshakeFailed) return error.failure;
    return transport.classify(error);
  }

  /** No backend can take the request, or none that has not been tried. */
  #nobody(x: Exchange, failure: Failure | undefined): Response {
    if (failure !== undefined) return this.#failed(x, failure);
    x.answered = true;
    return this.#end(x, 503, "destination_unavailable");
  }

  /** The last attempt has failed. */
  #failed(x: Exchange, failure: Failure): Response {
    x.answered = true;
    if (x.cause === TOO_LARGE) {
      return this.#end(x, 413, "http_request_denied");
    }
    if (failure === DAWDLED) {
      return this.#end(x, 408, failure.type);
    }
    if (failure.fault === "client") {
      // Said to nobody; the number is the one that nginx gave this end.
      return this.#end(x, 499, "http_request_error");
    }
    const status = failure.status ??
      (failure.fault === "proxy" ? 503 : STATUS[failure.type]);
    return this.#end(x, status, failure.type);
  }

  /** Ends an exchange with an answer of our own. */
  #end(
    x: Exchange,
    status: number,
    type: ErrorType,
    refusal?: Refusal,
  ): Response {
    x.status = status;
    x.answered = true;
    // An answer before the upload's end: its rest is for nobody. Deno keeps the
    // connection for as long as somebody might still read from it.
    if (!x.uploaded) x.upload?.abandon(status);
    const fields = this.#fieldsOf(status, x.requestId);
    if (x.explained) fields["server-timing"] = this.#explanation(x);
    const response = answer(status, type, {
      sentence: refusal?.sentence,
      fields,
      head: x.method === "HEAD",
    });
    // Nobody was there any more to take an answer.
    x.bytes = status === 499 ? 0 : bytesOf(response, x.method);
    this.#settle(x);
    const { transport } = this.#options;
    return transport.parting?.(x.request, x.connection, response) ?? response;
  }

  /** Answers a request that never became an exchange. */
  #own(
    status: number,
    type: ErrorType,
    request: Request,
    connection: unknown,
    startedAt: number,
    refusal?: Refusal,
  ): Response {
    const response = answer(status, type, {
      sentence: refusal?.sentence,
      fields: { ...this.#fieldsOf(status, undefined), ...refusal?.fields },
      head: request.method === "HEAD",
    });
    const bytes = bytesOf(response, request.method);
    this.#tell(status, bytes, request, connection, startedAt);
    const { transport } = this.#options;
    return transport.parting?.(request, connection, response) ?? response;
  }

  /** Step 8 for a request that never became an exchange. */
  #tell(
    status: number,
    bytes: number,
    request: Request,
    connection: unknown,
    startedAt: number,
  ): void {
    const { settled, rules, transport } = this.#options;
    const ms = this.now() - startedAt;
    this.meter?.request(status, ms);
    settled?.({
      client: rules.clientAddress(
        request.headers,
        peerOf(transport, request, connection),
      ),
      method: request.method,
      target: request.url,
      status,
      bytes,
      ms,
      backend: undefined,
      attempts: [],
      requestId: undefined,
      traceId: undefined,
      request,
    });
  }

  #refuse(
    refusal: Refusal,
    request: Request,
    connection: unknown,
    startedAt: number,
  ): Response {
    return this.#own(
      refusal.status,
      refusal.type,
      request,
      connection,
      startedAt,
      refusal,
    );
  }

  #fieldsOf(
    status: number,
    requestId: string | undefined,
  ): Record<string, string> {
    const fields: Record<string, string> = {};
    if (status === 503) fields["retry-after"] = "1";
    if (requestId !== undefined) fields["x-request-id"] = requestId;
    // After a request that was not understood, or whose body was not read,
    // nothing more can be trusted to begin where we think it does.
    if (
      status === 400 || status === 408 || status === 413 ||
      this.#options.closing()
    ) {
      fields["connection"] = "close";
    }
    return fields;
  }
}

/** Said in `Allow` where an answer of ours wants one. */
const ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/** In place of fields that are copied. */
const NO_FIELDS: Fields = [];

/** Statuses that never have a body (RFC 9110 §6.4.1). */
const NO_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

/** Milliseconds without a look after one at a body of this length or `NaN`. */
function pauseAfter(length: number): number {
  const { least, most } = ANY_LOOK_MS;
  return length > least * LOOK_BYTES
    ? Math.min(length / LOOK_BYTES, most)
    : least;
}

/** Bytes of the body of an answer of our own. */
function bytesOf(response: Response, method: string): number {
  return method === "HEAD" ? 0 : Number(response.headers.get("content-length"));
}

/** The peer's address in its plain form, from a server or from the caller. */
function peerOf(
  transport: Transport,
  request: Request,
  connection: unknown,
): string | undefined {
  if (connection === undefined || connection === null) return undefined;
  const address = transport.peerOf(request, connection) ??
    (connection as { clientAddress?: string }).clientAddress;
  return address !== undefined && address.startsWith("::")
    ? plainAddress(address)
    : address;
}

/** The request's own id if it is usable, or a new one. */
function requestIdOf(headers: Read): string {
  const id = headers.get("x-request-id");
  return id !== null && /^[!#$%&'*+.^_`|~0-9A-Za-z-]{8,128}$/.test(id)
    ? id
    : crypto.randomUUID();
}

function setField(fields: Fields, name: string, value: string): void {
  const at = fields.findIndex(([known]) => known === name);
  if (at >= 0) fields.splice(at, 1);
  fields.push([name, value]);
}

/** One hop less (RFC 9110 §7.6.2). What is no number is passed on. */
function countDown(fields: Fields): void {
  for (const field of fields) {
    if (field[0] === "max-forwards" && /^\d{1,9}$/.test(field[1])) {
      field[1] = String(Math.max(0, Number(field[1]) - 1));
    }
  }
}

/** Hands a request to a function backend, as a server behind us would see it. */
async function call(
  answerer: (request: Request) => Response | Promise<Response>,
  x: Exchange,
  fields: Fields,
  payload: Payload,
): Promise<Response> {
  const headers = new Headers(fields);
  const init: RequestInit = {
    method: x.method,
    headers,
    signal: x.controller.signal,
  };
  if (payload !== undefined) {
    init.body = payload.stream;
    // Asked for by the standard; neither runtime minds its absence.
    (init as { duplex?: string }).duplex = "half";
    if (payload.length !== undefined) {
      headers.set("content-length", String(payload.length));
    }
  } else if (x.whole !== undefined) {
    init.body = x.whole;
    headers.set("content-length", String(x.whole.byteLength));
  }
  const url = `${x.scheme}://${x.host}${x.target.text}`;
  return await answerer(new Request(url, init));
}
