/**
 * One request's way: guard, admit, pick, rewrite, send, judge, answer, settle.
 *
 * Each step is a call; what decides is pure and lives in its own file (`guard`,
 * `headers`, `retry`). A request that meets nothing unusual allocates its fields,
 * one {@linkcode Exchange} and one `AbortController`, and starts no timer.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import { plainAddress } from "./addresses.ts";
import { attempt, type AttemptOptions, type Begun } from "./attempt.ts";
import type { Reading } from "./body.ts";
import { carriedOn, type CarryOptions } from "./carry.ts";
import { answer, type ErrorType, STATUS } from "./errors.ts";
import {
  CLIENT_LEFT,
  Exchange,
  IDLE,
  type Limits,
  type Owner,
  statusOf,
  STOPPED,
  TOO_LARGE,
} from "./exchange.ts";
import { failureOf, SLOW_CLIENT } from "./failure.ts";
import {
  CLIMBING,
  impliedHost,
  isRefusal,
  type Refusal,
  refuseAsterisk,
  refuseFraming,
  refuseHost,
  refuseMethod,
  type Target,
  targetOf,
} from "./guard.ts";
import { type Fields, type Read, responseFields } from "./headers.ts";
import type { InFlight } from "./in_flight.ts";
import type { KeyOf } from "./keys.ts";
import type { Explainer, Meter, Settled } from "./observed.ts";
import type { RateLimiter } from "./rate_limit.ts";
import { type Ending, Relay } from "./relay.ts";
import { carriedOf } from "./resume.ts";
import { decide, isIdempotent, type RetryBudget } from "./retry.ts";
import { Sampling } from "./sampling.ts";
import type { Sticky } from "./sticky.ts";
import { Streams } from "./streams.ts";
import { traceOf } from "./trace.ts";
import type { Failure, Transport } from "./transport.ts";
import { NO_UPLOAD, uploadOf } from "./upload.ts";
import { acceptClient } from "./upgrade.ts";
import type { Waiting } from "./waiting.ts";
import { Bridge, handshakeOf, type Opened } from "./websocket.ts";

/** Options for {@linkcode Forwarder}; the values are checked by its caller. */
export interface ForwarderOptions
  extends Omit<AttemptOptions, "limits" | "sampling">, Limits {
  /** The backends. */
  pool: Pool;
  /** The requests under way. */
  inFlight: InFlight;
  /** Most retries of a request. */
  retries: number;
  /** What retries are taken from. */
  budget: RetryBudget;
  /** Milliseconds to connect, where the connection is opened here. */
  connectTimeoutMs: number;
  /** Bytes of a request body. */
  maxBodyBytes: number;
  /** Bytes of a WebSocket message. */
  maxMessageBytes: number;
  /** Requests at once. */
  maxInFlight: number;
  /** For those that wait for a header, where their limit is learnt. */
  room: Waiting | undefined;
  /** Refuses those who ask too often. */
  rates: RateLimiter | undefined;
  /** Whether a broken answer is carried on from another backend. */
  resume: boolean;
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

/** A request that has passed the guard. */
interface Guarded {
  host: string;
  target: Target;
  length: string | null;
  upgrades: boolean;
}

/** Takes requests through all steps. */
export class Forwarder implements Owner {
  readonly limits: Limits;
  readonly #options: ForwarderOptions;
  readonly #attempt: AttemptOptions;
  readonly #carry: CarryOptions;
  readonly #streams = new Streams();
  #started = 0;
  #refusedFull = 0;
  /** Counts; none until figures are wanted. */
  meter: Meter | undefined;
  /** Explains; none while no client may know. */
  explainer: Explainer | undefined;

  /** Makes a forwarder; it holds nothing that must be ended. */
  constructor(options: ForwarderOptions) {
    this.#options = options;
    const { timeoutMs, clientTimeoutMs, idleTimeoutMs } = options;
    this.limits = { timeoutMs, clientTimeoutMs, idleTimeoutMs };
    this.#attempt = {
      ...options,
      exact: options.exact || options.resume,
      limits: this.limits,
      sampling: new Sampling(),
    };
    this.#carry = {
      ...this.#attempt,
      pick: (x, tried) => {
        x.backend = this.#pick(x.key, tried);
        x.attemptAt = this.now();
        return x.backend;
      },
      failed: (x, failure) => this.#attemptFailed(x, failure),
      unfit: (x, status) => {
        this.#note(x, `status ${status} in place of the rest`);
        this.#judge(x, status);
        this.#leave(x);
      },
      mayRetry: (x, failure) => this.#mayRetry(x, failure),
      poolSize: () => options.pool.size,
    };
  }

  /** Answers a request. Never rejects. */
  handle(request: Request, connection?: unknown): Response | Promise<Response> {
    const { transport, clock, maxBodyBytes, rates } = this.#options;
    // Deno answers for a request's `Headers` no longer than for the request: a
    // log that is written in the end has to take them in the beginning.
    const headers = this.#options.settled === undefined
      ? transport.read?.(request) ?? request.headers
      : request.headers;
    const startedAt = clock.now();
    this.#started++;
    const refuse = (refusal: Refusal) =>
      this.#refuse(refusal, request, connection, startedAt);

    // 1. Guard.
    const peer = peerOf(transport, request, connection);
    const guarded = this.#guard(request, headers, peer);
    if ("status" in guarded) return refuse(guarded);
    const { host, target, length, upgrades } = guarded;
    const { method } = request;
    if (method === "OPTIONS" && headers.get("max-forwards") === "0") {
      // RFC 9110 §7.6.2: meant for the first server on the way, which is us.
      this.#tell(204, 0, request, connection, startedAt);
      return new Response(null, { status: 204, headers: { allow: ALLOW } });
    }

    // 2. Admit.
    if (length !== null && Number(length) > maxBodyBytes) return refuse(LARGE);
    const tooMany = rates?.refusal(request, peer, startedAt);
    if (tooMany !== undefined) return refuse(tooMany);
    if (!this.#admit(startedAt)) return refuse(FULL);
    const x = new Exchange(
      this,
      request,
      headers,
      connection,
      method,
      target,
      host,
      request.url.charCodeAt(4) === 58 ? "http" : "https",
      peer,
      startedAt,
    );
    x.upgrades = upgrades;
    x.room = this.#options.room;
    this.#begin(x);
    return this.#run(x, length);
  }

  /** Requests that have come in so far. */
  get started(): number {
    return this.#started;
  }

  /** Requests that were refused since too many were under way. */
  get refusedFull(): number {
    return this.#refusedFull;
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

  /** Ends all that is under way: with an answer where there is none yet. */
  cut(): void {
    for (const x of this.#options.inFlight) (x as Exchange).end(STOPPED);
  }

  /** A request has lasted past a tick: now it is worth watching its client. */
  lasting(x: Exchange): void {
    // Bun closes a connection that is quiet for long, and cannot know that we
    // wait for a backend.
    const { transport } = this.#options;
    transport.unhurried?.(x.request, x.connection);
    this.#watchClient(x);
    x.stream = transport.connectionOf?.(x.connection);
    if (x.stream !== undefined) this.#streams.add(x, x.stream);
  }

  /** A client that takes nothing is to be cut. */
  release(x: Exchange): void {
    this.#options.transport.release?.(x.request, x.connection);
  }

  /** A relayed body has ended. */
  relayed(x: Exchange, how: Ending): void {
    const { backend } = x;
    if (how === "left") x.end(CLIENT_LEFT);
    // Without a backend it could not be carried on, and the backend that broke
    // it off has been told already.
    if (backend !== undefined && how === "whole") {
      backend.proven++;
      this.#judge(x, x.status);
    } else if (backend !== undefined && how === "broken") {
      if (x.cause === undefined || x.cause === IDLE) {
        const reason = x.cause === IDLE ? "a stalled body" : "a truncated body";
        backend.proven = 0;
        this.#options.outcome(backend, false, x.attemptAt, reason);
      }
    }
    this.#settle(x);
  }

  /** Step 1: what is wrong with a request, or what it asks for. */
  #guard(
    request: Request,
    headers: Read,
    peer: string | undefined,
  ): Guarded | Refusal {
    const { transport, rules } = this.#options;
    const { method, url } = request;
    const host = headers.get("host") ?? impliedHost(url, peer !== undefined);
    const refusal = refuseMethod(method, transport.sendsMethod) ??
      refuseHost(host);
    if (refusal !== undefined) return refusal;
    const target = targetOf(url, host);
    if (isRefusal(target)) return target;
    const length = headers.get("content-length");
    const odd = refuseAsterisk(method, target.text) ??
      refuseFraming(method, length, headers.get("transfer-encoding"));
    if (odd !== undefined) return odd;
    if (rules.loops(headers)) return LOOP;
    const upgrades = method === "GET" && handshakeOf(headers);
    if (typeof upgrades === "object") return upgrades;
    return { host: host!, target, length, upgrades };
  }

  /** Whether there is room for one more request; then it has it. */
  #admit(now: number): boolean {
    const { inFlight, maxInFlight, room } = this.#options;
    if (room?.enter(now) !== false && inFlight.admit(maxInFlight)) {
      return true;
    }
    this.#refusedFull++;
    return false;
  }

  /** The end of step 2: a request is under way. */
  #begin(x: Exchange): void {
    const { inFlight, budget, rules, keyOf, sticky, transport } = this.#options;
    const { fields } = x;
    inFlight.add(x);
    budget.request(x.startedAt);
    if (this.#options.requestId) x.requestId = requestIdOf(fields);
    if (this.#options.trace) x.trace = traceOf(fields.get("traceparent"));
    if (this.explainer !== undefined) {
      const asked = fields.get("sluice-debug");
      x.explained = asked !== null && this.explainer.allows(asked, x.peer);
    }
    if (keyOf !== undefined) {
      x.key = keyOf({
        client: rules.clientAddress(x.request.headers, x.peer),
        target: x.target.text,
        headers: x.request.headers,
      });
    }
    if (sticky !== undefined) x.key = sticky.keyOf(x.request.headers);
    const authorization = fields.get("authorization");
    x.alone = authorization !== null && isConnectionLogin(authorization);
    if (
      transport.losesResets === true && x.peer !== undefined &&
      (x.scheme === "https" || fields.get("host") === null)
    ) this.#watchClient(x);
  }

  /** Listens for the client leaving. */
  #watchClient(x: Exchange): void {
    if (x.watched) return;
    x.watched = true;
    // A request made in code ends by its own signal as well.
    const { signal } = x.request;
    const left = () => x.end(CLIENT_LEFT);
    // On Bun a signal that fired before anything listened stays silent.
    if (signal.aborted) left();
    else signal.addEventListener("abort", left, { once: true });
  }

  /** Steps 3 to 7, until there is an answer. */
  async #run(x: Exchange, length: string | null): Promise<Response> {
    const { transport, clock } = this.#options;
    try {
      const upload = uploadOf(x, length, this.#options);
      if (upload instanceof Promise) {
        try {
          x.upload = await upload;
        } catch (error) {
          return this.#failed(x, failureOf(x, error, transport));
        }
        x.attemptAt = clock.now();
      } else {
        x.upload = upload;
      }
      let failure: Failure | undefined;
      for (;;) {
        // 3. Pick.
        const backend = this.#pick(x.key, x.tried);
        if (backend === undefined) return this.#unserved(x, failure);
        x.backend = backend;
        x.room?.given(x);
        if (x.target.climbs && backend.basePath !== "") {
          this.#leave(x);
          return this.#end(x, CLIMBING.status, CLIMBING.type, CLIMBING);
        }
        if (failure !== undefined) x.attemptAt = clock.now();
        // 4. Rewrite, and 5. send. Not awaited further than the header.
        const result = await attempt(x, backend, this.#attempt);
        // 6. Judge.
        if (result.kind === "opened") {
          return this.#join(x, backend, result.opened);
        }
        if (result.kind === "answer") {
          return this.#answer(x, backend, result.response, result.body);
        }
        failure = result.failure;
        this.#attemptFailed(x, failure);
        if (!this.#mayRetry(x, failure)) return this.#failed(x, failure);
        (x.tried ??= []).push(backend);
      }
    } catch (error) {
      // A fault of ours. The client gets an answer and the process goes on.
      this.#options.log(`cannot forward a request: ${String(error)}`);
      this.#leave(x);
      return this.#end(x, 500, "proxy_internal_error");
    }
  }

  /** Step 3. The backend that is picked has got the request then. */
  #pick(
    key: string | undefined,
    tried: readonly Backend[] | undefined,
  ): Backend | undefined {
    this.#options.refresh?.();
    for (;;) {
      const backend = this.#choose(key, tried);
      // Another worker may have given it its last place a moment ago. It knows
      // of that now, and is not chosen once more.
      if (backend === undefined || backend.enter()) return backend;
    }
  }

  /**
   * One that the runtime would let wait, or that has more than its share of those
   * that wait, is passed over for one of which neither is true; when there is
   * none, it is the policy's choice again.
   */
  #choose(
    key: string | undefined,
    tried: readonly Backend[] | undefined,
  ): Backend | undefined {
    const { pool } = this.#options;
    const first = pool.pick(key, tried);
    if (first === undefined || !this.#full(first)) return first;
    const passed = [...tried ?? [], first];
    for (;;) {
      const next = pool.pick(key, passed);
      if (
        next === undefined || next.backup !== first.backup ||
        next.ejected !== first.ejected
      ) return first;
      if (!this.#full(next)) return next;
      if (passed.push(next) > MOST_PASSED) return first;
    }
  }

  /** Whether a backend should rather be passed over. */
  #full(backend: Backend): boolean {
    const { transport, room } = this.#options;
    return transport.full?.(backend) === true || room?.full(backend) === true;
  }

  /** Step 6 for an attempt that failed, which is over. */
  #attemptFailed(x: Exchange, failure: Failure): void {
    const backend = x.backend!;
    this.#note(x, failure.reason);
    if (failure.fault !== "client") this.meter?.failed(backend, failure.type);
    if (failure.fault === "backend") {
      if (this.#options.timed) this.#time(x, backend, true);
      backend.proven = 0;
      this.#options.outcome(backend, false, x.attemptAt, failure.reason);
    }
    this.#leave(x);
  }

  /** Whether a failed attempt is made again elsewhere; then it is counted. */
  #mayRetry(x: Exchange, failure: Failure): boolean {
    const { budget, clock, retries } = this.#options;
    const { kind } = x.upload;
    const decision = decide({
      clientGone: failure.fault === "client" || x.cause === CLIENT_LEFT,
      timedOut: x.cause !== undefined,
      sent: failure.sent,
      idempotent: isIdempotent(x.method),
      replayable: kind === "none" || kind === "whole" ||
        (kind === "replayable" && !failure.sent),
      retries: x.retries,
      refusals: x.refusals,
      maxRetries: retries,
      budget: () => budget.take(clock.now()),
    });
    if (decision !== "retry") return false;
    this.meter?.retried();
    if (failure.sent) x.retries++;
    else x.refusals++;
    return true;
  }

  /** Step 7 for a WebSocket: the client gets its 101, and the two are joined. */
  #join(x: Exchange, backend: Backend, opened: Opened): Response {
    const { transport, clock, log } = this.#options;
    x.answered = true;
    x.status = 101;
    this.#stopsWaiting(x, 101);
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
    const answer = acceptClient(bridge, {
      transport,
      request: x.request,
      connection: x.connection,
      opened,
      facts: {
        origin: backend.origin,
        basePath: backend.basePath,
        clientScheme: x.scheme,
        clientHost: x.host,
        added: x.requestId === undefined
          ? undefined
          : [["x-request-id", x.requestId]],
      },
      log,
    });
    if (answer instanceof Response) return answer;
    const type = answer === 499 ? "http_request_error" : "proxy_internal_error";
    const ended = this.#end(x, answer, type);
    bridge.abandon();
    return ended;
  }

  /** Step 7. */
  #answer(
    x: Exchange,
    backend: Backend,
    response: Response,
    body: Begun,
  ): Response {
    const { transport } = this.#options;
    const { status } = response;
    x.answered = true;
    x.status = status;
    this.#stopsWaiting(x, status);
    if (this.#options.timed) this.#time(x, backend, status >= 500);
    this.meter?.answered(backend, status, this.now() - x.sentAt);
    this.#note(x, String(status));
    if ("forget" in x.upload) x.upload.forget();
    else x.upload = NO_UPLOAD;
    if (isReading(body)) this.#relay(x, response, body);
    const added = this.#added(x, backend);
    // The usual answer goes out as it came, less what concerned its connection.
    // One to HEAD does not: both runtimes would invent a length where it has none.
    const asItIs = body === "native" && added === undefined &&
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
      isReading(body) ? x.relay!.stream : body === "native" ? undefined : body,
      x.method === "HEAD",
    );
    // 8. Settle: now, unless the body is relayed.
    if (x.relay !== undefined) return answered;
    if (body instanceof Uint8Array) {
      x.bytes = body.byteLength;
      backend.proven++;
    }
    this.#judge(x, status);
    this.#settle(x);
    return answered;
  }

  /** Takes how long a request has waited for its header. */
  #stopsWaiting(x: Exchange, status: number): void {
    if (x.room === undefined) return;
    const now = this.now();
    x.room.answered(x, status, now - x.sentAt, now);
  }

  /** Hands a body on while it is looked at, and carries it on if it breaks. */
  #relay(x: Exchange, response: Response, source: Reading): void {
    const carried = this.#options.resume
      ? carriedOf(x.method, x.request.headers, response)
      : undefined;
    const from = carried === undefined
      ? source
      : carriedOn(x, source, carried, this.#carry);
    x.relay = new Relay(from, x);
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
  #time(x: Exchange, backend: Backend, failed: boolean): void {
    const now = this.now();
    // What came before the last byte was sent is the client's time.
    const ms = now - x.sentAt;
    // A backend that fails fast must not look fast, or it would draw all requests.
    const slower = failed && backend.latencyMs > ms ? backend.latencyMs : ms;
    backend.observed(slower, now);
  }

  /** Passes on what an answer shows of its backend. */
  #judge(x: Exchange, status: number): void {
    const bad = status === 502 || status === 503 || status === 504;
    const backend = x.backend!;
    // A function is judged by whether it throws and by nothing else.
    if (bad && backend.answer !== undefined) return;
    const reason = bad ? `status ${status}` : "";
    this.#options.outcome(backend, !bad, x.attemptAt, reason);
  }

  /** The attempt is over, though the request may go on. */
  #leave(x: Exchange): void {
    if (x.backend === undefined) return;
    x.room?.left(x);
    x.backend.leave();
    x.backend = undefined;
  }

  /** Step 8: the request is over. */
  #settle(x: Exchange): void {
    if (x.over) return;
    x.over = true;
    const { inFlight, settled } = this.#options;
    const { backend } = x;
    this.#leave(x);
    x.room?.over(x);
    inFlight.remove(x);
    if (x.stream !== undefined) this.#streams.remove(x, x.stream);
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

  /** Notes an attempt, where it will be wanted. */
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

  /** No backend can take the request, or none that has not been tried. */
  #unserved(x: Exchange, failure: Failure | undefined): Response {
    return failure === undefined
      ? this.#end(x, 503, "destination_unavailable")
      : this.#failed(x, failure);
  }

  /** The last attempt has failed. */
  #failed(x: Exchange, failure: Failure): Response {
    if (x.cause === TOO_LARGE) return this.#end(x, LARGE.status, LARGE.type);
    if (failure === SLOW_CLIENT) return this.#end(x, 408, failure.type);
    if (failure.fault === "client") {
      // The client never sees it; the number is the one that nginx gave this end.
      return this.#end(x, 499, "http_request_error");
    }
    const status = failure.fault === "proxy" ? 503 : STATUS[failure.type];
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
    const fields = this.#fieldsOf(status, x.requestId);
    if (x.explained) fields["server-timing"] = this.#explanation(x);
    const response = answer(status, type, {
      sentence: refusal?.sentence,
      fields,
      head: x.method === "HEAD",
    });
    // A client that has left takes no answer.
    x.bytes = status === 499 ? 0 : bytesOf(response, x.method);
    this.#settle(x);
    return response;
  }

  /** Answers a request that never became an exchange. */
  #refuse(
    { status, type, sentence, fields }: Refusal,
    request: Request,
    connection: unknown,
    startedAt: number,
  ): Response {
    const response = answer(status, type, {
      sentence,
      fields: { ...this.#fieldsOf(status, undefined), ...fields },
      head: request.method === "HEAD",
    });
    const bytes = bytesOf(response, request.method);
    this.#tell(status, bytes, request, connection, startedAt);
    return response;
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

/** Backends that a request is not given to for having enough: each costs a pick. */
const MOST_PASSED = 32;

const LARGE: Refusal = { status: 413, type: "http_request_denied" };
const FULL: Refusal = { status: 503, type: "connection_limit_reached" };
const LOOP: Refusal = { status: 508, type: "proxy_loop_detected" };

/** Said in `Allow` where an answer of ours wants one. */
const ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

function isReading(body: Begun): body is Reading {
  return body !== null && typeof body === "object" && "read" in body;
}

/** Whether a field logs in a connection, and not a request (RFC 4559 §6). */
function isConnectionLogin(authorization: string): boolean {
  return /^(?:ntlm|negotiate)(?: |$)/i.test(authorization);
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
