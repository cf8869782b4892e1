/**
 * onRequest: what it may do to a request, and the effect of its errors.
 */

import assert from "node:assert/strict";
import type { RequestRecord } from "../mod.ts";
import { settle } from "../testing/clock.ts";
import {
  A,
  B,
  FAILING,
  never,
  proxyOf,
  unharmed,
  URL_,
} from "../testing/hooked.ts";

Deno.test("onRequest() edits the fields of each attempt, and gets its context", async () => {
  const contexts: unknown[] = [];
  const { proxy, sent, ask } = proxyOf({
    backends: [{ url: A, name: "one" }, B],
    requestId: true,
    onRequest(headers, context) {
      const { backend, attempt, clientAddress, requestId, request } = context;
      contexts.push([backend.label, attempt, clientAddress, request.url]);
      assert.equal(headers.get("x-request-id"), requestId);
      assert.equal(headers.get("x-forwarded-for"), "192.0.2.7");
      assert.equal(headers.get("te"), null);
      assert.ok(context.signal instanceof AbortSignal);
      headers.set("x-attempt", String(attempt));
      headers.delete("accept");
    },
  }, ({ url }) => {
    if (url.startsWith(A)) throw new TypeError("connection refused");
    return new Response("from b");
  });
  const { text } = await ask(
    { headers: { accept: "x", te: "trailers" } },
    "192.0.2.7",
  );
  assert.equal(text, "from b");
  assert.deepEqual(contexts, [
    ["one", 1, "192.0.2.7", URL_],
    [B, 2, "192.0.2.7", URL_],
  ]);
  assert.deepEqual(
    sent.map(({ headers }) => [headers.get("x-attempt"), headers.get("accept")])
      .filter(([, accept]) => accept !== "*/*"),
    [["1", null], ["2", null]],
  );
  await proxy.stop();
});

Deno.test("onRequest() cannot change the framing, nor set an invalid Host", async () => {
  // A length or a coding of the hook's would make the next request on the
  // backend's connection a part of this one.
  let host = "tenant.example.com:8080";
  const used = proxyOf({
    onRequest(headers) {
      headers.set("content-length", "1");
      headers.set("content_length", "1");
      headers.set("transfer-encoding", "chunked");
      headers.set("connection", "x-kept, upgrade");
      headers.set("keep-alive", "timeout=1");
      headers.set("upgrade", "h2c");
      headers.set("x-kept", "yes");
      headers.set("host", host);
    },
  });
  const { sent, ask, proxy } = used;
  assert.equal((await ask({ method: "POST", body: "12345" })).status, 200);
  const { headers, body } = sent[0]!;
  assert.equal(body, "12345");
  assert.equal(headers.get("host"), "tenant.example.com:8080");
  assert.equal(headers.get("x-kept"), "yes");
  for (
    const name of [
      "content_length",
      "transfer-encoding",
      "connection",
      "keep-alive",
      "upgrade",
    ]
  ) assert.equal(headers.get(name), null, name);
  assert.notEqual(headers.get("content-length"), "1");
  for (host of ["", "a b", "a/b", "a, b", "a:99999", "http://a"]) {
    assert.equal((await ask()).status, 500, host);
  }
  assert.equal(sent.length, 1);
  unharmed(used, 1);
  await proxy.stop();
});

Deno.test("onRequest() keeps the Host that it deletes", async () => {
  const { sent, ask, proxy } = proxyOf({
    onRequest: (headers) => headers.delete("host"),
  });
  await ask();
  assert.equal(sent[0]!.headers.get("host"), "sluice.test");
  await proxy.stop();
});

Deno.test("onRequest() answers with a Response, and no backend is counted", async () => {
  const records: RequestRecord[] = [];
  const used = proxyOf({
    requestId: true,
    onSettled: (record) => records.push(record),
    onRequest: async (_headers, { request }) => {
      await Promise.resolve();
      return new Response(request.method === "POST" ? "denied" : null, {
        status: request.method === "POST" ? 401 : 204,
        headers: {
          "www-authenticate": "Basic",
          connection: "x-none",
          "content-length": "77",
          "x-request-id": "mine",
        },
      });
    },
  });
  const { sent, ask, proxy } = used;
  const { status, text, headers } = await ask({ method: "POST", body: "x" });
  assert.deepEqual([status, text], [401, "denied"]);
  assert.equal(headers.get("www-authenticate"), "Basic");
  assert.equal(headers.get("connection"), null);
  assert.equal(headers.get("content-length"), null);
  assert.notEqual(headers.get("x-request-id"), "mine");
  assert.equal((await ask({ method: "HEAD" })).status, 204);
  assert.equal(sent.length, 0);
  assert.deepEqual(
    records.map(({ status, bytes, backend, attempts }) => [
      status,
      bytes,
      backend,
      attempts.length,
    ]),
    [[401, 6, null, 0], [204, 0, null, 0]],
  );
  unharmed(used, 0);
  await proxy.stop();
});

for (const [how, fail] of FAILING) {
  Deno.test(`onRequest() that ${how} costs its request a 500, and blames no backend`, async () => {
    let fails = true;
    const used = proxyOf({
      eject: { after: 1 },
      onRequest: () => fails ? fail() : undefined,
    });
    used.proxy.metrics();
    assert.equal((await used.ask()).status, 500);
    assert.equal((await used.ask()).status, 500);
    unharmed(used, 0);
    assert.equal(used.lines.length, 1, String(used.lines));
    assert.match(used.lines[0]!, /onRequest failed/);
    fails = false;
    assert.equal((await used.ask()).status, 200);
    unharmed(used, 1);
    await used.proxy.stop();
  });
}

for (const name of ["onRequest", "onResponse"] as const) {
  const sent = name === "onRequest" ? 0 : 1;

  Deno.test(`${name}() that never ends is ended by timeoutMs with a 500`, async () => {
    const signals: AbortSignal[] = [];
    const used = proxyOf({
      timeoutMs: 500,
      eject: { after: 1 },
      [name]: (_: unknown, { signal }: { signal: AbortSignal }) => {
        signals.push(signal);
        return never();
      },
    });
    const answer = used.ask();
    await used.clock.advance(400);
    assert.equal(signals[0]!.aborted, false);
    await used.clock.advance(200);
    assert.equal((await answer).status, 500);
    assert.equal(signals[0]!.aborted, true);
    assert.match(used.lines[0]!, /longer than timeoutMs/);
    unharmed(used, sent);
    await used.proxy.stop();
  });

  Deno.test(`${name}() that never ends is ended by its client leaving`, async () => {
    const records: RequestRecord[] = [];
    const used = proxyOf({
      eject: { after: 1 },
      onSettled: (record) => records.push(record),
      [name]: never,
    });
    const left = new AbortController();
    const answer = used.ask({ signal: left.signal });
    await used.clock.advance(200);
    left.abort();
    await answer;
    assert.deepEqual(records.map(({ status }) => status), [499]);
    assert.deepEqual(used.lines, []);
    unharmed(used, sent);
    await used.proxy.stop();
  });

  Deno.test(`${name}() that takes its time delays its own request alone`, async () => {
    const gate = Promise.withResolvers<void>();
    let slow = true;
    const used = proxyOf({ [name]: () => slow ? gate.promise : undefined });
    const first = used.ask();
    await settle();
    slow = false;
    assert.equal((await used.ask()).text, "answer");
    gate.resolve();
    assert.equal((await first).text, "answer");
    unharmed(used, 2);
    await used.proxy.stop();
  });
}

Deno.test("onRequest() is not timed as the backend's work", async () => {
  const gate = Promise.withResolvers<void>();
  const { proxy, clock, ask } = proxyOf({
    timeoutMs: 500,
    policy: "ewma",
    onRequest: () => gate.promise,
  });
  const answer = ask();
  await clock.advance(400);
  gate.resolve();
  assert.equal((await answer).status, 200);
  assert.ok(proxy.pool.backends[0]!.latencyMs < 100);
  await proxy.stop();
});

// Requests inside the hook counted as waiting for a backend: a hook of half a second
// (a session look-up, say) made Sluice answer 503 while the backends were idle.
Deno.test("onRequest() may take its time under MAX_IN_FLIGHT=auto", async () => {
  const gates: (() => void)[] = [];
  const { proxy, ask, sent } = proxyOf({
    maxInFlight: "auto",
    onRequest: () =>
      new Promise<undefined>((resolve) => gates.push(() => resolve(undefined))),
  });
  const asked = Array.from({ length: 500 }, () => ask());
  await settle();
  assert.equal(gates.length, 500);
  assert.match(proxy.metrics(), /^sluice_requests_waiting 0$/m);
  for (const open of gates) {
    open();
    await settle();
  }
  const statuses = (await Promise.all(asked)).map(({ status }) => status);
  assert.deepEqual(new Set(statuses), new Set([200]));
  assert.equal(sent.length, 500);
  await proxy.stop();
});

Deno.test("onRequest() lets no more go on at once than MAX_IN_FLIGHT=auto allows", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  const { proxy, ask, sent } = proxyOf({
    maxInFlight: "auto",
    onRequest: () => gate.then(() => undefined),
  }, () => answered.then(() => new Response("late")));
  proxy.metrics();
  const asked = Array.from({ length: 500 }, () => ask());
  await settle();
  open();
  await settle();
  // Twice the limit, for those that come all at once out of the calm.
  assert.equal(sent.length, 200);
  const [backend] = proxy.pool.backends;
  assert.equal(backend!.inFlight, 200);
  answer();
  const all = await Promise.all(asked);
  const refused = all.filter(({ status }) => status === 503);
  assert.equal(refused.length, 300);
  const [{ headers }] = refused as [typeof all[number]];
  assert.equal(headers.get("retry-after"), "1");
  assert.match(headers.get("proxy-status")!, /connection_limit_reached/);
  assert.match(proxy.metrics(), /^sluice_in_flight_refused_total 300$/m);
  assert.match(proxy.metrics(), /^sluice_requests_waiting 0$/m);
  assert.equal(backend!.inFlight, 0);
  assert.equal(backend!.requests, 200);
  await proxy.stop();
});
