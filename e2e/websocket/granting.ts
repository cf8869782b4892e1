/**
 * Backends that accept every WebSocket, for tests of what comes afterwards.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type RawBackend, rawBackend } from "../harness/backend.ts";
import { type Runtime, startProxy } from "../harness/proxy.ts";
import { until } from "../harness/wait.ts";
import type { Header } from "../harness/wire.ts";
import { ask, type Frames, grant } from "./raw.ts";

/** A backend that grants every WebSocket and shows its frames to the test. */
export async function granting(
  headers: readonly Header[] = [],
  options: Parameters<typeof rawBackend>[1] = {},
  /** Nothing is granted before this. */
  after?: Promise<void>,
): Promise<{ backend: RawBackend; next: () => Promise<Frames> }> {
  const all: Frames[] = [];
  let given = 0;
  const backend = await rawBackend(async (conn, request) => {
    await after;
    all.push(await grant(conn, request, headers));
  }, options);
  const next = async () => {
    const index = given++;
    return await until(() => all[index], { what: `WebSocket ${index}` });
  };
  return { backend, next: next as () => Promise<Frames> };
}

/** One WebSocket through its own proxy. */
export async function opened(
  runtime: Runtime,
  body: (client: Frames, backend: Frames) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  const { backend, next } = await granting();
  await using _backend = backend;
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...env },
  });
  await using asked = await ask(proxy.port);
  assert.equal(asked.status, 101);
  await body(asked.frames, await next());
}
