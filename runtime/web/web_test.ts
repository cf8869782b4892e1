import assert from "node:assert/strict";
import { Backend } from "../../balancer.ts";
import { Abort } from "../../http/signal.ts";
import { reading } from "../../proxy/body.ts";
import type { Outgoing } from "../../proxy/transport.ts";
import { WebFetch } from "./fetch.ts";
import { WebServer } from "./server.ts";
import { sized } from "./sized.ts";

const backend = new Backend({ url: "http://10.0.0.1:3000/base" });

/** Calls `body` with a `fetch` in place of the global one. */
async function withFetch(
  fake: typeof fetch,
  body: () => Promise<void>,
): Promise<void> {
  const { fetch } = globalThis;
  globalThis.fetch = fake;
  try {
    await body();
  } finally {
    globalThis.fetch = fetch;
  }
}

function outgoing(more: Partial<Outgoing> = {}): Outgoing {
  return {
    backend,
    url: "http://10.0.0.1:3000/base/x",
    method: "GET",
    fields: [["accept-encoding", "gzip, br"], ["x-a", "1"]],
    payload: undefined,
    once: false,
    abort: new Abort(),
    ...more,
  };
}

Deno.test("WebFetch asks for what it can pass on, and sends a body as a stream", async () => {
  const seen: [string, RequestInit][] = [];
  const fake = (url: unknown, init: unknown) => {
    seen.push([String(url), init as RequestInit]);
    return Promise.resolve(new Response("ok"));
  };
  await withFetch(fake as typeof fetch, async () => {
    const transport = new WebFetch();
    const stream = new Response("body").body!;
    const payload = {
      stream: () => stream,
      reading: () => reading(stream),
      length: 4,
    };
    const answer = await transport.send(outgoing({ method: "PUT", payload }));
    assert.equal(await answer.text(), "ok");
    await transport.send(outgoing({ whole: new Uint8Array(3) }));
  });
  const [[url, put], [, whole]] = seen as [typeof seen[0], typeof seen[0]];
  assert.equal(url, "http://10.0.0.1:3000/base/x");
  assert.deepEqual(put.headers, [["x-a", "1"], [
    "accept-encoding",
    "identity",
  ]]);
  assert.equal(put.redirect, "manual");
  assert.equal(await new Response(put.body).text(), "body");
  assert.equal((whole.body as Uint8Array).byteLength, 3);
});

Deno.test("WebFetch passes on what fetch has decoded without its coding and length", async () => {
  const headers = new Headers([
    ["content-encoding", "gzip"],
    ["content-length", "30"],
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
  ]);
  const fake = () => Promise.resolve(new Response("plain", { headers }));
  await withFetch(fake as typeof fetch, async () => {
    const answer = await new WebFetch().send(outgoing());
    assert.equal(answer.headers.get("content-encoding"), null);
    assert.equal(answer.headers.get("content-length"), null);
    assert.deepEqual(answer.headers.getSetCookie(), ["a=1", "b=2"]);
    assert.equal(await answer.text(), "plain");
  });
});

Deno.test("WebFetch takes every failure for one that may have been sent", async () => {
  const transport = new WebFetch();
  for (const error of [new Error("Network connection lost."), "odd", null]) {
    const { sent, fault } = transport.classify(error);
    assert.deepEqual([sent, fault], [true, "backend"]);
  }
  const fake = () => Promise.reject(new Error("Network connection lost."));
  await withFetch(fake as typeof fetch, async () => {
    const { signal } = new AbortController();
    assert.deepEqual(await transport.probe(backend, "/health", signal), {
      error: "the connection was refused or lost",
    });
  });
  assert.equal(transport.classifyDial().status, 501);
  await assert.rejects(transport.dial());
});

Deno.test("WebServer gives no body to what has none, and keeps the length of a HEAD", async () => {
  const server = new WebServer();
  const body = () => new Response("x").body!;
  for (const status of [204, 205, 304]) {
    assert.equal(server.respond(status, [], body(), false).body, null);
  }
  const head = server.respond(200, [["content-length", "5"]], body(), true);
  assert.equal(head.body, null);
  assert.equal(head.headers.get("content-length"), "5");
  const ok = server.respond(200, [["x-a", "1"]], body(), false);
  assert.equal(await ok.text(), "x");
  assert.throws(() => server.accept(), /no WebSockets/);
});

Deno.test("sized() uses the platform's way to say a length, where there is one", async () => {
  const stream = () => new Response("four").body! as ReadableStream;
  const plain = stream();
  assert.equal(sized(plain, 4), plain);
  await plain.cancel();
  const lengths: number[] = [];
  class FixedLengthStream extends TransformStream {
    constructor(length: number) {
      super();
      lengths.push(length);
    }
  }
  Object.assign(globalThis, { FixedLengthStream });
  try {
    assert.equal(await new Response(sized(stream(), 4)).text(), "four");
    assert.deepEqual(lengths, [4]);
    const endless = stream();
    assert.equal(sized(endless, undefined), endless);
    await endless.cancel();
  } finally {
    Reflect.deleteProperty(globalThis, "FixedLengthStream");
  }
});
