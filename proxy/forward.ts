/**
 * The steps of a request: guard, admit, upload, pick, rewrite, send, judge,
 * respond, settle. CONTRIBUTING.md has the list.
 *
 * Each step is a call, implemented in its own file. A usual request allocates
 * its fields and one {@linkcode Exchange}, and starts no timer.
 *
 * @module
 */

import { peerOf } from "./addresses.ts";
import { admit } from "./admit.ts";
import type { Arrival } from "./arrival.ts";
import { attempt } from "./attempt.ts";
import { BridgeBudget } from "./bridge_budget.ts";
import type { Context, ForwarderOptions } from "./context.ts";
import { Exchange, type Limits, type Owner } from "./exchange.ts";
import { STOPPED } from "./reasons.ts";
import { failureOf } from "./failure.ts";
import { CLIMBING, type Served } from "./guard.ts";
import { attemptFailed, mayRetry, relayed } from "./judge.ts";
import type { Explainer, Meter } from "./observed.ts";
import { answerByHook } from "./on_request.ts";
import { respondByHook } from "./on_response.ts";
import { answerWith, giveUp, refuse } from "./own_answer.ts";
import { pick } from "./pick.ts";
import { join, respond } from "./respond.ts";
import { Sampling } from "./sampling.ts";
import { leave } from "./settle.ts";
import { Streams } from "./streams.ts";
import type { Failure } from "./transport.ts";
import { type Upload, uploadOf } from "./upload.ts";
import { longRunning } from "./long_running.ts";

/** Runs the steps for each request. */
export class Forwarder implements Owner {
  /** What all steps share. */
  readonly context: Context;
  #started = 0;

  /** Makes a forwarder; it holds no resources that must be released. */
  constructor(options: ForwarderOptions) {
    this.context = {
      ...options,
      exact: options.exact || options.resume ||
        options.hooks.onResponse !== undefined,
      sampling: new Sampling(),
      streams: new Streams(),
      bridges: new BridgeBudget(options.maxMessageBytes),
      hooksWaiting: new Set(),
      goneAway: false,
      refusedFull: 0,
      meter: undefined,
      explainer: undefined,
    };
  }

  /**
   * Answers a request. Never rejects. `served` describes the server of ours
   * that it came through, if any.
   */
  handle(
    request: Request,
    connection?: unknown,
    served?: Served,
  ): Response | Promise<Response> {
    const c = this.context;
    this.#started++;
    const arrival: Arrival = {
      request,
      fields: c.server.read?.(request, c.settled !== undefined) ??
        request.headers,
      connection,
      served,
      peer: peerOf(c.server, request, connection),
      at: c.clock.now(),
    };
    // 2. Guard, and 3. admit.
    const x = admit(arrival, this, c);
    return x instanceof Exchange ? this.#run(x) : refuse(x, arrival, c);
  }

  /** Steps 4 to 9, until there is a response. */
  async #run(x: Exchange): Promise<Response> {
    const c = this.context;
    try {
      // 4. Upload.
      const upload = uploadOf(x, c);
      if (upload instanceof Promise) {
        const failure = await this.#receive(x, upload);
        if (failure !== undefined) return giveUp(x, failure, c);
      } else {
        x.upload = upload;
      }
      let failure: Failure | undefined;
      for (;;) {
        // 5. Pick.
        const backend = pick(x.key, x.tried, c);
        if (backend === undefined) return giveUp(x, failure, c);
        x.backend = backend;
        x.room?.assigned(x);
        if (x.target.climbs && backend.basePath !== "") {
          leave(x);
          const { status, type, sentence } = CLIMBING;
          return await answerWith(x, status, type, c, { sentence });
        }
        if (failure !== undefined) x.attemptAt = c.clock.now();
        // 6. Rewrite, and 7. send. Waits for the head only.
        const result = await attempt(x, backend, c);
        // 8. Judge, and 9. respond.
        if (result.kind === "opened") {
          return await join(x, backend, result.opened, c);
        }
        if (result.kind === "answer") {
          const { answer, body } = result;
          return c.hooks.onResponse === undefined || body instanceof Response
            ? respond(x, backend, answer, body, c)
            : await respondByHook(x, backend, answer, body, c);
        }
        if (result.kind === "hook") {
          return await answerByHook(x, result.edited, c);
        }
        failure = result.failure;
        attemptFailed(x, failure, c);
        if (!mayRetry(x, failure, c)) return giveUp(x, failure, c);
        (x.tried ??= []).push(backend);
      }
    } catch (error) {
      // A bug of ours. The client gets an answer, and the process continues.
      c.log(`cannot forward a request: ${String(error)}`);
      x.bridge?.abandon();
      leave(x);
      return answerWith(x, 500, "proxy_internal_error", c);
    }
  }

  /** Waits for the part of an upload that must be read first. */
  async #receive(
    x: Exchange,
    upload: Promise<Upload>,
  ): Promise<Failure | undefined> {
    try {
      x.upload = await upload;
    } catch (error) {
      return failureOf(x, error, this.context);
    }
    x.attemptAt = this.now();
    return undefined;
  }

  /** Starts to keep figures. */
  set meter(meter: Meter) {
    this.context.meter = meter;
  }

  /** Starts to explain requests. */
  set explainer(explainer: Explainer) {
    this.context.explainer = explainer;
  }

  /** Number of requests received. */
  get started(): number {
    return this.#started;
  }

  /** Requests refused because of the limit of concurrent requests. */
  get refusedFull(): number {
    return this.context.refusedFull;
  }

  /** Whether an upload is being read for a request without a response. */
  get uploading(): boolean {
    for (const x of this.#exchanges()) if (x.uploading) return true;
    return false;
  }

  /** Number of open WebSockets. */
  get bridged(): number {
    let count = 0;
    for (const x of this.#exchanges()) if (x.bridge !== undefined) count++;
    return count;
  }

  /** Closes all WebSockets on both sides, because this process ends. */
  goAway(): void {
    this.context.goneAway = true;
    for (const x of this.#exchanges()) x.bridge?.goAway();
  }

  /** Ends all requests; those without a response get one. */
  cut(): void {
    for (const x of this.#exchanges()) x.end(STOPPED);
    for (const stop of this.context.hooksWaiting) stop();
  }

  #exchanges(): Iterable<Exchange> {
    return this.context.inFlight as Iterable<unknown> as Iterable<Exchange>;
  }

  // Implements `Owner`, for exchanges.

  /** The time limits. */
  get limits(): Limits {
    return this.context;
  }

  /** The current time. */
  now(): number {
    return this.context.clock.now();
  }

  /** A request has lasted longer than a tick. */
  longRunning(x: Exchange): void {
    longRunning(x, this.context);
  }

  /** A relayed body has ended. */
  relayed(x: Exchange, how: "whole" | "broken" | "left"): void {
    relayed(x, how, this.context);
  }

  /** The client reads nothing; its connection must be cut. */
  release(x: Exchange): void {
    this.context.server.release?.(x.request, x.connection);
  }
}
