/**
 * The program of `e2e/library/hooks.ts`, with every hook set, for tests.
 *
 * @module
 */

import type { RawBackend } from "./backend.ts";
import { rawRequest, requestText } from "./client.ts";
import { type ProxyProcess, type Runtime, startProxy } from "./proxy.ts";

/** The program with hooks in front of these backends. */
export function hooked(
  runtime: Runtime,
  backends: readonly RawBackend[],
  env: Record<string, string> = {},
): Promise<ProxyProcess> {
  return startProxy(runtime, {
    entry: "e2e/library/hooks.ts",
    env: { BACKENDS: backends.map(({ url }) => url).join(), ...env },
  });
}

/** Requests a path, on a new connection. */
export function get(
  proxy: ProxyProcess,
  path: string,
): ReturnType<typeof rawRequest> {
  return rawRequest(proxy.port, requestText("GET", path));
}
