/**
 * Sluice: a load-balancing reverse proxy in one `fetch` handler, for Deno and
 * Bun.
 *
 * ```ts
 * import { createProxy } from "./mod.ts";
 *
 * const proxy = createProxy({
 *   backends: ["http://127.0.0.1:3000", { url: "http://127.0.0.1:3001", weight: 3 }],
 *   health: { path: "/health", intervalMs: 5_000 },
 * });
 * // `Deno.serve(proxy.fetch)`, or `Bun.serve({ fetch: proxy.fetch })`.
 * await proxy.stop();
 * ```
 *
 * Run as a program it takes its settings from the environment and from flags;
 * imported it does nothing until a function is called.
 *
 * @module
 */

import { main, say } from "./program/main.ts";
import { work } from "./program/worker.ts";
import { exit } from "./runtime/process.ts";
import { isWorker } from "./runtime/workers.ts";

export type {
  AdminOptions,
  BackendFunction,
  BackendFunctionOptions,
  BackendInit,
  BackendOptions,
  BackendTlsOptions,
  EjectOptions,
  HealthOptions,
  ProxyOptions,
  RateLimitContext,
  RateLimitKey,
  RateLimitOptions,
  ServeOptions,
  TlsOptions,
} from "./config/options.ts";
export type {
  Backend,
  BackendInit as PoolBackendInit,
  Given,
  Pool,
  PoolEvent,
  PoolOptions,
  Replaced,
  Shared,
} from "./balancer.ts";
export type { Looked, Lookup } from "./runtime/resolve.ts";
export type { BunWebSocketHandlers } from "./runtime/websocket_bun.ts";
export type { Clock, TimerHandle } from "./runtime/clock.ts";

export { createProxy, type Proxy } from "./program/create.ts";
export { serve, type Server } from "./program/serve.ts";
export { VERSION } from "./program/version.ts";

if (import.meta.main) {
  // What is thrown here would otherwise be taken for one request's fault, and
  // the program would end, or go on without listening, as if all were well.
  if (isWorker()) work();
  else {
    await main().catch((error) => {
      say(`cannot start: ${String(error)}`);
      exit(1);
    });
  }
}
