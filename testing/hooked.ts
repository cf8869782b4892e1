/**
 * A proxy with hooks and without a network, for tests of what hooks may do and
 * of the effect of their errors.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createProxy, type ProxyOptions } from "../mod.ts";
import { FakeClock } from "./clock.ts";

/** Where there would be a backend. */
export const A = "http://10.0.0.1:3000";
/** Where there would be another. */
export const B = "http://10.0.0.2:3000";
/** Options. */
export const URL_ = "http://sluice.test/path?x=1";

/** What a backend was sent. */
export interface Sent {
  url: string;
  headers: Headers;
  body: string;
  signal: AbortSignal;
}

/** A proxy whose `fetch` uses no network. */
export function proxyOf(
  options: Partial<ProxyOptions>,
  answer: (sent: Sent) => Response | Promise<Response> = () =>
    new Response("answer", { headers: { "content-length": "6" } }),
) {
  const clock = new FakeClock(1_000);
  const lines: string[] = [];
  const sent: Sent[] = [];
  const proxy = createProxy({
    backends: [A],
    clock,
    health: false,
    log: (line) => lines.push(line),
    random: () => 0.5,
    fetch: async (input, init) => {
      const body = init?.body === undefined || init.body === null
        ? ""
        : await new Response(init.body).text();
      const one = {
        url: String(input),
        headers: new Headers(init?.headers),
        body,
        signal: init!.signal!,
      };
      sent.push(one);
      return await answer(one);
    },
    ...options,
  });
  const ask = async (init?: RequestInit, clientAddress?: string) => {
    const request = new Request(URL_, init);
    const response = await proxy.fetch(request, { clientAddress });
    const { status, headers } = response;
    return { status, headers, text: await response.text() };
  };
  return { clock, lines, sent, proxy, ask };
}

/** Ways in which an awaited hook can fail. */
export const FAILING: readonly [how: string, fail: () => never][] = [
  ["throws", () => {
    throw new Error("the hook's fault");
  }],
  ["is rejected", () => Promise.reject(new Error("the hook's fault")) as never],
  ["throws what has no words", () => {
    throw Object.create(null);
  }],
  ["gives a thenable that throws", () => ({
    then() {
      throw new Error("the hook's fault");
    },
  } as never)],
  ["gives a Response whose body is in use", () => {
    const response = new Response("used");
    response.body!.getReader();
    return response as never;
  }],
  ["gives a Response that is an error", () => Response.error() as never],
];

/** A hook that never resolves. */
export const never = () => new Promise<never>(() => {});

/** Asserts that no failure is counted and no request is in flight. */
export function unharmed(
  { proxy, clock }: ReturnType<typeof proxyOf>,
  requests: number,
): void {
  const [backend] = proxy.pool.backends;
  assert.equal(backend!.inFlight, 0);
  assert.equal(backend!.ejected, false);
  assert.equal(backend!.requests, requests);
  assert.doesNotMatch(
    proxy.metrics(),
    /sluice_backend_failures_total\{[^}]*\} [1-9]/,
  );
  assert.ok(clock.pending <= 2, "no timer of a request is left");
}
