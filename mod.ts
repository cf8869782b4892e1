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

export type {
  AdminOptions,
  AttemptContext,
  AttemptRecord,
  BackendContext,
  BackendFunction,
  BackendFunctionOptions,
  BackendInit,
  BackendOptions,
  BackendTlsOptions,
  Connection,
  EjectOptions,
  ErrorType,
  HealthCheck,
  HealthOptions,
  KeyFunction,
  Lookup,
  LookupResult,
  OnError,
  OnRequest,
  OnResponse,
  Policy,
  PolicyName,
  ProxyFailure,
  ProxyOptions,
  RateLimitContext,
  RateLimitKey,
  RateLimitOptions,
  RequestContext,
  RequestRecord,
  ServeOptions,
  TlsOptions,
} from "./config/options.ts";
export type { Backend, PoolEvent, ReplaceCounts } from "./balancer.ts";
export type { BunWebSocketHandlers } from "./runtime/bun/websocket.ts";
export type { Clock, TimerHandle } from "./base/clock.ts";

export {
  createProxy,
  type ProxyPool,
  type ReverseProxy,
} from "./program/create.ts";
export { type ProxyServer, serve } from "./program/serve.ts";
export { VERSION } from "./program/version.ts";

if (import.meta.main) {
  // Loaded here, since a library has no use for the program.
  const { start } = await import("./program/start.ts");
  await start();
}
