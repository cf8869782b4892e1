import assert from "node:assert/strict";
import { Backend } from "../balancer.ts";
import { Abort } from "../http/signal.ts";
import type { Transport } from "../proxy/transport.ts";
import { reading } from "../proxy/body.ts";
import { customTransport } from "./custom.ts";
import { fetchTransport } from "./runtime.ts";

const backend = new Backend({ url: "http://10.0.0.1:3000/base" });

function custom(send: typeof fetch): Transport {
  return customTransport(fetchTransport({}), send);
}

Deno.test("customTransport() sends attempts with the fetch it is given", async () => {
  const calls: [string, RequestInit][] = [];
  const own = custom((input, init) => {
    calls.push([String(input), init!]);
    return Promise.resolve(new Response("ok"));
  });
  const abort = new Abort();
  const stream = new Response("body").body!;
  const response = await own.send({
    backend,
    url: "http://10.0.0.1:3000/base/x",
    method: "PUT",
    fields: [["x-a", "1"]],
    payload: {
      stream: () => stream,
      reading: () => reading(stream),
      length: 4,
    },
    once: false,
    abort,
  });
  assert.ok(response instanceof Response);
  assert.equal(await response.text(), "ok");
  const [url, init] = calls[0]!;
  assert.equal(url, "http://10.0.0.1:3000/base/x");
  assert.equal(init.method, "PUT");
  assert.equal(init.redirect, "manual");
  assert.equal(init.signal, abort.signal);
  assert.equal(init.body, stream);
  assert.equal(new Headers(init.headers).get("x-a"), "1");
  await stream.cancel();
});

Deno.test("customTransport() probes with it too, and drops the body", async () => {
  let cancelled = false;
  const own = custom((input, init) => {
    assert.equal(String(input), "http://10.0.0.1:3000/base/health");
    assert.equal(init?.redirect, "manual");
    const body = new ReadableStream({ cancel: () => void (cancelled = true) });
    return Promise.resolve(new Response(body, { status: 503 }));
  });
  const { signal } = new AbortController();
  assert.deepEqual(await own.probe(backend, "/health", signal), {
    status: 503,
  });
  assert.equal(cancelled, true);
});

Deno.test("customTransport() classifies a probe's error", async () => {
  const own = custom(() =>
    Promise.reject(
      Object.assign(
        new TypeError("fetch failed", {
          cause: new Error(
            "client error (Connect): tcp connect error: Connection refused",
          ),
        }),
        { code: "ECONNREFUSED" },
      ),
    )
  );
  const { signal } = new AbortController();
  assert.deepEqual(await own.probe(backend, "/health", signal), {
    error: "connection refused",
  });
});

Deno.test("customTransport() leaves everything else to the runtime's transport", async () => {
  // It inherited the methods, and those that read a private field threw when
  // they were called on it: every WebSocket through a proxy with a `fetch` of
  // the user's was 502, and its backend was ejected.
  const own = custom(() => Promise.reject(new Error("not asked")));
  const { signal } = new AbortController();
  const nowhere = new Backend({ url: "http://127.0.0.1:1" });
  const failure = await own.dial(nowhere, signal, 1_000).then(
    () => undefined,
    (error) => own.classifyDial(error),
  );
  assert.ok(failure !== undefined && failure.sent === false);
  own.close();
});
