/**
 * Makes a proxy from options: a handler and its pool.
 *
 * @module
 */

import type { Backend, PoolEvent, ReplaceCounts } from "../balancer.ts";
import type { BackendInit, ProxyOptions } from "../config/options.ts";
import type { BunWebSocketHandlers } from "../runtime/bun/websocket.ts";
import { answering } from "./answering.ts";
import { type AsWorker, Core } from "./core.ts";
import { PassedConnection } from "./handler.ts";
import type { Handler } from "../runtime/listener.ts";
import { withUpkeep } from "./upkeep.ts";

/**
 * The backends of a proxy, in list order. Each change makes a new array
 * {@linkcode ProxyPool.backends}. A backend that is removed or drained finishes
 * its requests in flight.
 */
export interface ProxyPool extends Iterable<Backend> {
  /** Number of backends, whatever their state. */
  readonly size: number;
  /** The backends in list order. */
  readonly backends: readonly Backend[];
  /** The backend with this id, URL or name, if there is one. */
  get(idUrlOrName: string): Backend | undefined;
  /**
   * Adds a backend. With health probes, it gets requests after its first
   * passing probe.
   *
   * @throws {TypeError | RangeError} If it is invalid, if its URL or name is in
   * use, or if the pool is full.
   */
  add(backend: BackendInit): Backend;
  /** Removes a backend; returns whether it was in the pool. */
  remove(backend: Backend): boolean;
  /** Sets whether a backend is draining: it gets no new requests. */
  drain(backend: Backend, draining?: boolean): void;
  /**
   * Sets a backend's relative share of requests.
   *
   * @throws {RangeError} If the weight is not from 0 to 1000.
   */
  setWeight(backend: Backend, weight: number): void;
  /**
   * Replaces the backends of the pool. A backend whose URL or function is in
   * the new list stays, with its state; its name, weight and limits are
   * updated.
   *
   * @throws {TypeError | RangeError} If one is invalid or conflicts with
   * another one; the pool is unchanged then.
   */
  replace(backends: Iterable<BackendInit>): ReplaceCounts;
  /** Calls `listener` on each change, until the returned function is called. */
  subscribe(listener: (event: PoolEvent) => void): () => void;
}

/**
 * A proxy: a handler and its pool. `await using` stops it at the end of the
 * block.
 */
export interface ReverseProxy extends AsyncDisposable {
  /**
   * Answers a request by forwarding it. Never throws or rejects. Does not use
   * `this`, so it can be passed to any server.
   *
   * `connection` is the second argument of the runtime's handler (Deno's
   * `info`, Bun's `server`), or `{ clientAddress }`. Without it, or for a
   * server on a Unix domain socket, no `X-Forwarded-For` is sent. Bun knows the
   * addresses of its own requests only: pass `{ clientAddress }` for a request
   * that you made in a handler, or it is taken for one whose client has
   * disconnected. On a platform that only calls a handler, such as Cloudflare's,
   * pass `waitUntil` too, see `docs/platforms.md`.
   */
  readonly fetch: (
    request: Request,
    connection?: unknown,
  ) => Response | Promise<Response>;
  /**
   * Pass it to `Bun.serve` together with {@linkcode ReverseProxy.fetch}, or
   * WebSocket upgrades fail. Not needed on Deno, nor with {@linkcode serve}.
   */
  readonly websocket: BunWebSocketHandlers;
  /** The backends and their current state. */
  readonly pool: ProxyPool;
  /**
   * Resolves once every backend was probed or its probe has timed out. Until
   * then every backend counts as up.
   */
  readonly ready: Promise<void>;
  /**
   * The metrics in Prometheus' text format. Counting starts with the first call
   * or with an admin port, so call it once at start.
   */
  metrics(): string;
  /**
   * Stops probes and timers; idempotent. Requests in flight finish. Resolves
   * when all resources are released.
   */
  stop(): Promise<void>;
}

/** The parts of each proxy, hidden from users. */
const cores = new WeakMap<ReverseProxy, Core>();

/** The parts of a proxy, if `createProxy()` made it. */
export function coreOf(proxy: ReverseProxy): Core | undefined {
  return cores.get(proxy);
}

/**
 * Makes a proxy. Probes start at once; nothing listens. The options are checked
 * here; their defaults and bounds are those of the corresponding settings.
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
 * @throws {TypeError} If an option has the wrong type; the message has its name
 * and what is expected.
 * @throws {RangeError} If a number is out of bounds.
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
  const handle: Handler = (request, connection) =>
    connection instanceof PassedConnection
      ? forwarder.handle(request, connection.of(request), connection.served)
      : forwarder.handle(request, connection);
  const { due, log } = callbacks;
  const proxy: ReverseProxy = {
    fetch: answering(
      due === undefined ? handle : withUpkeep(handle, due, core.judges),
      log,
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
