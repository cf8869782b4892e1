/**
 * onResponse: what it may do to a response and its body, and which failures count.
 */

import assert from "node:assert/strict";
import type { ProxyOptions, RequestRecord } from "../mod.ts";
import { settle } from "../testing/clock.ts";
import { A, B, FAILING, proxyOf, unharmed, URL_ } from "../testing/hooked.ts";

for (const [how, fail] of FAILING) {
  Deno.test(`onResponse() that ${how} costs its request a 500, and the body is cancelled`, async () => {
    let cancelled = 0;
    const used = proxyOf(
      { eject: { after: 1 }, onResponse: fail },
      () =>
        new Response(
          new ReadableStream({
            cancel: () => void cancelled++,
          }),
        ),
    );
    used.proxy.metrics();
    assert.equal((await used.ask()).status, 500);
    await settle();
    assert.equal(cancelled, 1);
    unharmed(used, 1);
    assert.equal(used.lines.length, 1, String(used.lines));
    assert.match(used.lines[0]!, /onResponse failed/);
    await used.proxy.stop();
  });
}

Deno.test("onResponse() edits the fields of the response, by our rules", async () => {
  const used = proxyOf({
    requestId: true,
    onResponse(response, { backend, attempt, requestId }) {
      assert.deepEqual([backend.url, attempt], [A, 1]);
      assert.equal(response.headers.get("x-request-id"), requestId);
      assert.equal(response.headers.get("keep-alive"), null);
      assert.equal(response.headers.get("location"), "http://sluice.test/x");
      response.headers.set("x-added", "yes");
      response.headers.set("content-length", "3");
      response.headers.set("transfer-encoding", "chunked");
      response.headers.set("connection", "x-added");
      response.headers.set("x-request-id", "mine");
      response.headers.append("set-cookie", "b=2");
    },
  }, () =>
    new Response("answer", {
      headers: [
        ["content-length", "6"],
        ["keep-alive", "timeout=5"],
        ["location", `${A}/x`],
        ["set-cookie", "a=1"],
      ],
    }));
  const { headers, text } = await used.ask({
    headers: { host: "sluice.test" },
  });
  assert.equal(text, "answer");
  assert.equal(headers.get("x-added"), "yes");
  assert.equal(headers.get("content-length"), "6");
  assert.equal(headers.get("transfer-encoding"), null);
  assert.equal(headers.get("connection"), null);
  assert.notEqual(headers.get("x-request-id"), "mine");
  assert.deepEqual(headers.getSetCookie(), ["a=1", "b=2"]);
  unharmed(used, 1);
  await used.proxy.stop();
});

Deno.test("onResponse() wraps a body, which goes out without the old length", async () => {
  const records: RequestRecord[] = [];
  const used = proxyOf({
    onSettled: (record) => records.push(record),
    onResponse: (response) =>
      new Response(
        response.body!.pipeThrough(
          new TransformStream<Uint8Array, Uint8Array>({
            transform(piece, controller) {
              controller.enqueue(piece);
              controller.enqueue(piece);
            },
          }),
        ),
        response,
      ),
  });
  const { headers, text } = await used.ask();
  assert.equal(text, "answeranswer");
  assert.equal(headers.get("content-length"), null);
  assert.deepEqual(records.map(({ status, bytes }) => [status, bytes]), [
    [200, 12],
  ]);
  unharmed(used, 1);
  await used.proxy.stop();
});

Deno.test("onResponse() may read the body, or a copy of it", async () => {
  const used = proxyOf({
    async onResponse(response, { request }) {
      if (request.method === "PUT") {
        const text = await response.text();
        return new Response(text.toUpperCase(), response);
      }
      assert.equal(await response.clone().text(), "answer");
      return undefined;
    },
  }, () => new Response("answer"));
  assert.equal((await used.ask({ method: "PUT", body: "x" })).text, "ANSWER");
  assert.equal((await used.ask()).text, "answer");
  unharmed(used, 2);
  await used.proxy.stop();
});

Deno.test("onResponse() replaces a response: the backend's body is cancelled, without blame", async () => {
  const records: RequestRecord[] = [];
  const cancelled: unknown[] = [];
  const used = proxyOf(
    {
      onSettled: (record) => records.push(record),
      onResponse: () => new Response("another", { status: 404 }),
    },
    () =>
      new Response(
        new ReadableStream({
          pull: (controller) => controller.enqueue(new Uint8Array(1024)),
          cancel: (why) => void cancelled.push(why),
        }, { highWaterMark: 0 }),
      ),
  );
  const { status, text } = await used.ask();
  assert.deepEqual([status, text], [404, "another"]);
  assert.equal(cancelled.length, 1);
  assert.deepEqual(
    records.map((r) => [r.status, r.bytes, r.backend, r.attempts[0]!.outcome]),
    [[404, 7, A, "200"]],
  );
  unharmed(used, 1);
  await used.proxy.stop();
});

Deno.test("onResponse() that reads the replaced body too late gets an error, and no end", async () => {
  // A quiet end would look like a whole body.
  const late = Promise.withResolvers<unknown>();
  const used = proxyOf({
    onResponse(response) {
      setTimeout(() => response.text().then(late.resolve, late.reject), 0);
      return new Response("another");
    },
  }, () => new Response(new ReadableStream()));
  await used.ask();
  await assert.rejects(late.promise, /onResponse has returned another/);
  await used.proxy.stop();
});

Deno.test("onResponse() leaves the statuses without a body, and HEAD, without one", async () => {
  for (const status of [204, 205, 304]) {
    const used = proxyOf({
      onResponse: () => new Response("a body", { status: 200 }),
    }, () => new Response(null, { status }));
    assert.equal((await used.ask()).text, "a body");
    await used.proxy.stop();
    const bare = proxyOf({
      onResponse: () => new Response(null, { status }),
    });
    const answer = await bare.ask();
    assert.equal(answer.text, "");
    assert.equal(answer.status, status === 205 ? 204 : status);
    unharmed(bare, 1);
    await bare.proxy.stop();
  }
  const used = proxyOf({
    onResponse: ({ headers }) => headers.set("x-added", "yes"),
  });
  const { text, headers } = await used.ask({ method: "HEAD" });
  assert.equal(text, "");
  assert.equal(headers.get("x-added"), "yes");
  assert.equal(headers.get("content-length"), "6");
  unharmed(used, 1);
  await used.proxy.stop();
});

Deno.test("onResponse() does not hide a truncated body of a backend", async () => {
  const broken = () =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.error(new Error("reset")),
      }, { highWaterMark: 0 }),
    );
  const hooks: [name: string, hook: ProxyOptions["onResponse"]][] = [
    ["as it is", () => {}],
    ["wrapped", (response) =>
      new Response(
        response.body!.pipeThrough(new TransformStream()),
        response,
      )],
    ["read", async (response) => new Response(await response.text())],
  ];
  for (const [name, onResponse] of hooks) {
    const used = proxyOf({
      backends: [A, B],
      eject: { after: 1 },
      onResponse,
    }, broken);
    const response = await used.proxy.fetch(new Request(URL_));
    if (name === "read") assert.equal(response.status, 502);
    else await assert.rejects(response.text());
    assert.equal(
      used.proxy.pool.backends.filter(({ ejected }) => ejected).length,
      1,
      name,
    );
    await used.proxy.stop();
  }
});

Deno.test("onResponse() whose body fails by itself is not the backend's fault", async () => {
  const used = proxyOf({
    backends: [A, B],
    eject: { after: 1 },
    onResponse: (response) =>
      new Response(
        response.body!.pipeThrough(
          new TransformStream({
            transform() {
              throw new Error("the hook's fault");
            },
          }),
        ),
      ),
  });
  const response = await used.proxy.fetch(new Request(URL_));
  await assert.rejects(response.text());
  await settle();
  assert.ok(used.proxy.pool.backends.every(({ ejected }) => !ejected));
  assert.equal(used.proxy.pool.backends[0]!.inFlight, 0);
  assert.match(used.lines[0]!, /onResponse failed/);
  await used.proxy.stop();
});

Deno.test("onResponse() that changes a status does not change the backend's outcome", async () => {
  const used = proxyOf({
    backends: [A, B],
    eject: { after: 1 },
    onResponse: (response) => new Response(response.body, { status: 200 }),
  }, () => new Response("busy", { status: 503 }));
  const { status, text } = await used.ask();
  assert.deepEqual([status, text], [200, "busy"]);
  assert.equal(used.proxy.pool.backends[0]!.ejected, true);
  await used.proxy.stop();
});

Deno.test("onResponse() with an endless body cancels the backend's body at once", async () => {
  let cancelled = 0;
  const used = proxyOf(
    {
      onResponse: () => new Response(new ReadableStream()),
    },
    () => new Response(new ReadableStream({ cancel: () => void cancelled++ })),
  );
  const response = await used.proxy.fetch(new Request(URL_));
  await settle();
  assert.equal(cancelled, 1);
  await response.body!.cancel();
  unharmed(used, 1);
  await used.proxy.stop();
});

Deno.test("onResponse() sees each answer, also of a backend whose bodies go out unread", async () => {
  // After 64 whole answers most small bodies are left to the runtime.
  let seen = 0;
  const used = proxyOf({ onResponse: () => void seen++ });
  for (let i = 0; i < 100; i++) await used.ask();
  assert.equal(seen, 100);
  unharmed(used, 100);
  await used.proxy.stop();
});
