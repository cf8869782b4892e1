/**
 * Makes a proxy: options in, a handler and its pool out.
 *
 * @module
 */

import type { Backend, PoolEvent, ReplaceCounts } from "../balancer.ts";
import { wordsOf } from "../config/fault.ts";
import type { BackendInit, ProxyOptions } from "../config/options.ts";
import { answer } from "../proxy/errors.ts";
import type { BunWebSocketHandlers } from "../runtime/bun/websocket.ts";
import { type AsWorker, Core } from "./core.ts";

/**
 * The backends of a proxy, in their order; a change makes a new
 * {@linkcode ProxyPool.backends}. What is removed or drained still finishes what
 * it is answering.
 */
export interface ProxyPool extends Iterable<Backend> {
  /** How many backends there are, whatever their state. */
  readonly size: number;
  /** The backends, in their order. */
  readonly backends: readonly Backend[];
  /** The backend of this id, URL or name, if it is here. */
  get(idUrlOrName: string): Backend | undefined;
  /**
   * Adds a backend; with health probes it gets requests once the first has
   * passed.
   *
   * @throws {TypeError | RangeError} If it cannot be used, if one with this URL
   * or name is here already, or if the pool is full.
   */
  add(backend: BackendInit): Backend;
  /** Removes a backend; says whether it was here. */
  remove(backend: Backend): boolean;
  /** Gives a backend nothing new, or, with `false`, takes that back. */
  drain(backend: Backend, draining?: boolean): void;
  /**
   * Changes a backend's share of the requests.
   *
   * @throws {RangeError} If the weight is not from 0 to 1000.
   */
  setWeight(backend: Backend, weight: number): void;
  /**
   * Makes the pool hold these backends and no others. One whose URL, or whose
   * function, is among them stays with its state; its name, weight and limits
   * become the given ones.
   *
   * @throws {TypeError | RangeError} If one cannot be used, or not beside the
   * others; nothing has changed then.
   */
  replace(backends: Iterable<BackendInit>): ReplaceCounts;
  /** Calls `listener` at each change until the returned function is called. */
  subscribe(listener: (event: PoolEvent) => void): () => void;
}

/**
 * A proxy: a handler, and the pool behind it. With `await using` it is stopped at
 * the end of its block.
 */
export interface ReverseProxy extends AsyncDisposable {
  /**
   * Answers a request by sending it on. Never throws and never rejects. May be
   * called unbound, so it can be handed to any server as it is.
   *
   * `connection` is what the runtime hands a handler (Deno's `info`, Bun's
   * `server`), or `{ clientAddress }`; without it no `X-Forwarded-For` is made,
   * nor for a server on a Unix domain socket. Bun knows the address of its own
   * requests only: one that was made in the handler needs `{ clientAddress }`,
   * and is otherwise taken for that of a client that has left.
   */
  readonly fetch: (
    request: Request,
    connection?: unknown,
  ) => Response | Promise<Response>;
  /**
   * Goes with {@linkcode ReverseProxy.fetch} to `Bun.serve`, which upgrades no
   * connection without it. Not needed on Deno, nor with {@linkcode serve}.
   */
  readonly websocket: BunWebSocketHandlers;
  /** The backends, and what is known of each right now. */
  readonly pool: ProxyPool;
  /**
   * Resolves once every backend has been probed, or its probe has timed out. Until
   * then every backend counts as up.
   */
  readonly ready: Promise<void>;
  /**
   * The metrics in Prometheus' text format. Counting begins with the first call,
   * or with an admin port: call it once at the start.
   */
  metrics(): string;
  /**
   * Ends probes and timers; may be called twice. Requests in flight go to their
   * end. Resolves when nothing of the proxy is left.
   */
  stop(): Promise<void>;
}

/** The parts of each proxy, which users do not need. */
const cores = new WeakMap<ReverseProxy, Core>();

/** A proxy's parts, if it was made here. */
export function coreOf(proxy: ReverseProxy): Core | undefined {
  return cores.get(proxy);
}

/**
 * Makes a proxy. Its probes begin at once; nothing listens. The options are read
 * and checked here: each default and each bound is that of the setting of the
 * same meaning.
 *
 * @example Two pools behind one `if`
 * ```ts
 * import { createProxy } from "../mod.ts";
 *
 * const api = createProxy({ backends: ["http://127.0.0.1:3000"] });
 * const pages = createProxy({
 *   backends: [() => new Response("Hello\n")],
 *   health: false,
 * });
 * const handler = (request: Request, connection?: unknown) =>
 *   new URL(request.url).pathname.startsWith("/api/")
 *     ? api.fetch(request, connection)
 *     : pages.fetch(request, connection);
 *
 * const answer = await handler(new Request("http://sluice.test/"));
 * console.assert(await answer.text() === "Hello\n");
 * await api.stop();
 * await pages.stop();
 * ```
 *
 * @throws {TypeError} If an option is of the wrong kind; the message has its name
 * and what is wanted.
 * @throws {RangeError} If a number is outside of its bounds.
 */
export function createProxy(options: ProxyOptions): ReverseProxy {
  return assemble(options, undefined).proxy;
}

/** Makes a proxy, or a worker's part of one. */
export function assemble(
  options: ProxyOptions,
  worker: AsWorker | undefined,
): { proxy: ReverseProxy; core: Core } {
  const core = new Core(options, worker);
  const { forwarder, pool, callbacks, life } = core;
  const proxy: ReverseProxy = {
    fetch: answering(
      (request, connection) => forwarder.handle(request, connection),
      callbacks.log,
    ),
    websocket: core.websocket,
    pool,
    ready: life.ready,
    metrics: () => core.metricsText(),
    stop: life.stop,
    [Symbol.asyncDispose]: life.stop,
  };
  cores.set(proxy, core);
  return { proxy, core };
}

/**
 * A handler that answers whatever happens. What gets as far as here is a fault of
 * ours: it costs one request a 500, and not a library's user the process.
 */
function answering(
  handle: ReverseProxy["fetch"],
  log: (line: string) => void,
): ReverseProxy["fetch"] {
  const failed = (error: unknown) => {
    log(`cannot answer a request: ${wordsOf(error)}`);
    return answer(500, "proxy_internal_error");
  };
  return (request, connection) => {
    try {
      const answered = handle(request, connection);
      return answered instanceof Promise ? answered.catch(failed) : answered;
    } catch (error) {
      return failed(error);
    }
  };
}
