/**
 * The hooks of a proxy in a program of one's own: what each may do, and that one
 * that fails costs its own request and nothing else.
 */

import assert from "node:assert/strict";
import {
  type Backend,
  createProxy,
  type Policy,
  type ProxyFailure,
  type ProxyOptions,
  type RequestRecord,
} from "../mod.ts";
import { FakeClock, settle } from "../testing/clock.ts";

const A = "http://10.0.0.1:3000";
const B = "http://10.0.0.2:3000";
const URL_ = "http://sluice.test/path?x=1";

/** What a backend was sent. */
interface Sent {
  url: string;
  headers: Headers;
  body: string;
  signal: AbortSignal;
}

/** A proxy whose `fetch` never leaves it. */
function proxyOf(
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

/** Ways in which a hook fails that is called and waited for. */
const FAILING: readonly [how: string, fail: () => never][] = [
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

/** A hook that waits for ever. */
const never = () => new Promise<never>(() => {});

/** Asserts that nothing is held against the backend, or held at all. */
function unharmed(
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

Deno.test("onRequest() edits the fields of each attempt, and knows what it is for", async () => {
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

Deno.test("onRequest() cannot frame a message, and sets no Host that is none", async () => {
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
    onRequest: async ({}, { request }) => {
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
  Deno.test(`onRequest() that ${how} costs its request a 500, and no backend anything`, async () => {
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
    assert.match(used.lines[0]!, /onRequest fails/);
    fails = false;
    assert.equal((await used.ask()).status, 200);
    unharmed(used, 1);
    await used.proxy.stop();
  });

  Deno.test(`onResponse() that ${how} costs its request a 500, and the body is given up`, async () => {
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
    assert.match(used.lines[0]!, /onResponse fails/);
    await used.proxy.stop();
  });

  Deno.test(`onError() that ${how} leaves the answer to us`, async () => {
    const used = proxyOf({ onError: fail, maxBodyBytes: 1 });
    const { status, text } = await used.ask({
      method: "POST",
      body: "too much",
      headers: { "content-length": "8" },
    });
    assert.equal(status, 413);
    assert.match(text, /^Content too large/);
    assert.equal(used.lines.length, 1, String(used.lines));
    assert.match(used.lines[0]!, /onError fails/);
    unharmed(used, 0);
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
  const used = proxyOf({ timeoutMs: 500, policy: "ewma" }, async () => {
    await Promise.resolve();
    return new Response("answer");
  });
  const gate = Promise.withResolvers<void>();
  await used.proxy.stop();
  const slow = proxyOf({
    timeoutMs: 500,
    policy: "ewma",
    onRequest: () => gate.promise,
  });
  const answer = slow.ask();
  await slow.clock.advance(400);
  gate.resolve();
  assert.equal((await answer).status, 200);
  assert.ok(slow.proxy.pool.backends[0]!.latencyMs < 100);
  await slow.proxy.stop();
});

Deno.test("onResponse() edits the fields of what the client gets, and our rules stand", async () => {
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

Deno.test("onResponse() replaces an answer: the backend's body is given up, and nobody has left", async () => {
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

Deno.test("onResponse() hides no backend that breaks its body off", async () => {
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
  assert.match(used.lines[0]!, /onResponse fails/);
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

Deno.test("onError() answers a refused request and a failed one, and our rules stand", async () => {
  const failures: ProxyFailure[] = [];
  const records: RequestRecord[] = [];
  const used = proxyOf({
    requestId: true,
    maxBodyBytes: 4,
    retries: 0,
    eject: false,
    onSettled: (record) => records.push(record),
    onError(failure, { clientAddress, request }) {
      assert.equal(clientAddress, "192.0.2.7");
      assert.equal(request.url, URL_);
      failures.push(failure);
      return new Response(`no: ${failure.status}`, {
        status: failure.status,
        headers: { "content-length": "1", connection: "x-none" },
      });
    },
  }, () => {
    throw new TypeError("connection refused");
  });
  const large = await used.ask({
    method: "POST",
    body: "12345",
    headers: { "content-length": "5" },
  }, "192.0.2.7");
  assert.deepEqual([large.status, large.text], [413, "no: 413"]);
  assert.equal(large.headers.get("connection"), "close");
  assert.equal(large.headers.get("content-length"), "7");
  const failed = await used.ask({}, "192.0.2.7");
  assert.deepEqual([failed.status, failed.text], [502, "no: 502"]);
  assert.match(failed.headers.get("proxy-status")!, /^sluice; error=/);
  assert.match(failed.headers.get("x-request-id")!, /^[\w-]{36}$/);
  assert.equal(failed.headers.get("cache-control"), "no-store");
  const head = await used.ask({ method: "HEAD" }, "192.0.2.7");
  assert.deepEqual([head.status, head.text], [502, ""]);
  used.proxy.pool.backends[0]!.up = false;
  const none = await used.ask({}, "192.0.2.7");
  assert.equal(none.headers.get("retry-after"), "1");
  assert.deepEqual(failures.map(({ status, type }) => [status, type]), [
    [413, "http_request_denied"],
    [502, failures[1]!.type],
    [502, failures[1]!.type],
    [503, "destination_unavailable"],
  ]);
  assert.ok(failures.every(({ reason }) => reason !== ""));
  assert.deepEqual(records.map(({ status, bytes }) => [status, bytes]), [
    [413, 7],
    [502, 7],
    [502, 0],
    [503, 7],
  ]);
  await used.proxy.stop();
});

Deno.test("onError() that gives nothing, or too much, leaves the answer to us", async () => {
  for (const given of [undefined, new Response(new Uint8Array(1024 * 1025))]) {
    const used = proxyOf({ onError: () => given });
    used.proxy.pool.backends[0]!.up = false;
    const { status, text } = await used.ask();
    assert.equal(status, 503);
    assert.match(text, /^Service unavailable/);
    await used.proxy.stop();
  }
});

Deno.test("onError() that never ends is ended by timeoutMs", async () => {
  for (const up of [true, false]) {
    // Of a request that is refused nothing is under way that could be swept.
    const used = proxyOf({ onError: never, timeoutMs: 500, maxBodyBytes: 1 });
    used.proxy.pool.backends[0]!.up = up;
    const answer = used.ask(
      up
        ? { method: "POST", body: "xx", headers: { "content-length": "2" } }
        : {},
    );
    await used.clock.advance(600);
    assert.equal((await answer).status, up ? 413 : 503);
    assert.match(used.lines[0]!, /onError fails .*longer than timeoutMs/);
    unharmed(used, 0);
    await used.proxy.stop();
  }
});

Deno.test("onError() is not asked for a client that has left, nor for OPTIONS that goes no further", async () => {
  let asked = 0;
  const used = proxyOf({ onError: () => void asked++ });
  const left = await used.proxy.fetch(new Request(URL_), {
    clientAddress: null,
  });
  assert.equal(left.status, 499);
  const options = await used.ask({
    method: "OPTIONS",
    headers: { "max-forwards": "0" },
  });
  assert.equal(options.status, 204);
  assert.equal(asked, 0);
  await used.proxy.stop();
});

Deno.test("onSettled() has what the line of the access log has, with that or without", async () => {
  const access: string[] = [];
  for (const accessLog of ["json", "combined", false] as const) {
    const records: RequestRecord[] = [];
    const used = proxyOf({
      accessLog,
      logQuery: false,
      requestId: true,
      trace: true,
      logAccess: (line) => access.push(line),
      onSettled: (record) => records.push(record),
    }, () => new Response("answer"));
    const response = await used.proxy.fetch(new Request(URL_));
    await settle();
    assert.equal(records.length, 0, "its body has not ended");
    await response.text();
    await used.ask({ method: "TRACE" as string }).catch(() => {});
    assert.equal(records[0]!.target, "/path");
    if (accessLog === "json") {
      assert.deepEqual(records.map(timeless), access.map(parsed));
    }
    assert.equal(records[0]!.attempts[0]!.backend, A);
    assert.equal(records[0]!.bytes, 6);
    await used.proxy.stop();
  }
});

/** A record without what differs by a moment. */
function timeless({ time, ...record }: RequestRecord): unknown {
  assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  return record;
}

function parsed(line: string): unknown {
  return timeless(JSON.parse(line));
}

for (
  const [how, fail] of [
    ...FAILING.slice(0, 4),
    ["never ends", never] as [string, () => never],
  ]
) {
  Deno.test(`onSettled() that ${how} harms nothing`, async () => {
    const used = proxyOf({ onSettled: fail });
    for (let i = 0; i < 3; i++) assert.equal((await used.ask()).status, 200);
    await settle();
    unharmed(used, 3);
    assert.ok(used.lines.length <= 1, String(used.lines));
    await used.proxy.stop();
  });

  Deno.test(`key() that ${how} leaves its request to round robin`, async () => {
    const used = proxyOf({
      backends: [A, B],
      policy: "uri_hash",
      key: fail as unknown as () => string,
    });
    for (let i = 0; i < 4; i++) assert.equal((await used.ask()).status, 200);
    assert.equal(used.sent.filter(({ url }) => url.startsWith(A)).length, 2);
    assert.equal(used.lines.length, 1, String(used.lines));
    assert.match(used.lines[0]!, /key fails/);
    await used.proxy.stop();
  });

  Deno.test(`policy() that ${how} leaves the pick to round robin`, async () => {
    const used = proxyOf({
      backends: [A, B],
      policy: fail as unknown as Policy,
    });
    for (let i = 0; i < 4; i++) assert.equal((await used.ask()).status, 200);
    assert.equal(used.sent.filter(({ url }) => url.startsWith(A)).length, 2);
    assert.equal(used.lines.length, 1, String(used.lines));
    assert.match(used.lines[0]!, /policy fails/);
    await used.proxy.stop();
  });
}

Deno.test("key() is hashed in place of the policy's own, and told of the request", async () => {
  const keys: (string | undefined)[] = [];
  const used = proxyOf({
    backends: [A, B, "http://10.0.0.3:3000"],
    policy: "uri_hash",
    key(request, { clientAddress }) {
      assert.equal(clientAddress, "192.0.2.7");
      const key = request.headers.get("x-room") ?? undefined;
      keys.push(key);
      return key;
    },
  });
  const hosts = new Map<string, Set<string>>();
  for (let i = 0; i < 30; i++) {
    const room = String(i % 10);
    await used.ask({ headers: { "x-room": room } }, "192.0.2.7");
    const { url } = used.sent.at(-1)!;
    hosts.set(room, (hosts.get(room) ?? new Set()).add(url));
  }
  assert.ok([...hosts.values()].every(({ size }) => size === 1));
  assert.ok(new Set(used.sent.map(({ url }) => url)).size > 1);
  await used.ask({}, "192.0.2.7");
  assert.equal(keys.at(-1), undefined);
  await used.proxy.stop();
});

Deno.test("policy() picks among what it is given, and gets the key", async () => {
  let inFlight = -1;
  const policy: Policy = (backends, accepts, key) => {
    inFlight = backends[1]!.inFlight;
    return backends.find((one) => accepts(one) && one.url.endsWith(key!));
  };
  const used = proxyOf({
    backends: [A, B],
    policy,
    key: (request) => request.headers.get("x-port") ?? "3000",
  }, () => new Response("answer"));
  const unread = await used.proxy.fetch(new Request(URL_));
  await used.ask({ headers: { "x-port": "2:3000" } });
  assert.deepEqual(used.sent.map(({ url }) => url.slice(0, 20)), [
    "http://10.0.0.1:3000",
    "http://10.0.0.2:3000",
  ]);
  // What is read of a backend is exact, as for policies that go by load.
  assert.equal(used.proxy.pool.backends[0]!.inFlight, 1);
  assert.equal(inFlight, 0);
  await unread.text();
  assert.equal(used.proxy.pool.backends[0]!.inFlight, 0);
  assert.equal((await used.ask({ headers: { "x-port": "9" } })).status, 503);
  await used.proxy.stop();
});

Deno.test("policy() cannot pick what is not accepted, or not of the pool", async () => {
  for (
    const pick of [
      (all: readonly Backend[]) => all[1],
      () => ({ up: true, weight: 1, inFlight: 0, maxConns: 9 }),
    ]
  ) {
    const used = proxyOf({
      backends: [A, B],
      policy: pick as unknown as Policy,
    });
    used.proxy.pool.get(B)!.up = false;
    assert.equal((await used.ask()).status, 200);
    assert.ok(used.sent[0]!.url.startsWith(A));
    assert.match(used.lines[0]!, /policy fails .*may pick/);
    await used.proxy.stop();
  }
});

Deno.test("health.check() takes the place of the probe, and its text is the reason", async () => {
  let well: boolean | string = true;
  const used = proxyOf({
    backends: [A, () => new Response()],
    health: {
      intervalMs: 1_000,
      timeoutMs: 200,
      fall: 1,
      rise: 1,
      check: (backend, signal) => {
        assert.equal(backend.url, A);
        assert.equal(signal.aborted, false);
        return well;
      },
    },
  });
  await used.proxy.ready;
  const backend = used.proxy.pool.get(A)!;
  assert.equal(backend.up, true);
  for (well of [false, "17 jobs\nare waiting", ""]) {
    await used.clock.advance(1_500);
    assert.equal(backend.up, false);
    well = true;
    await used.clock.advance(1_500);
    assert.equal(backend.up, true);
  }
  assert.deepEqual(used.lines.filter((line) => line.includes("down")), [
    `backend ${A} is down (health.check: it did not pass)`,
    `backend ${A} is down (health.check: 17 jobs are waiting)`,
    `backend ${A} is down (health.check: it did not pass)`,
  ]);
  assert.equal(used.sent.length, 0);
  await used.proxy.stop();
});

for (
  const [how, fail] of [
    ...FAILING.slice(0, 4),
    ["never ends", never] as [string, () => never],
  ]
) {
  Deno.test(`health.check() that ${how} is a failed probe`, async () => {
    let signal: AbortSignal | undefined;
    const used = proxyOf({
      health: {
        intervalMs: 1_000,
        timeoutMs: 200,
        check: (_backend, given) => {
          signal = given;
          return fail();
        },
      },
    });
    const { ready } = used.proxy;
    await used.clock.advance(300);
    await ready;
    assert.equal(used.proxy.pool.get(A)!.up, false);
    assert.equal(signal!.aborted, how === "never ends");
    await used.proxy.stop();
  });
}

Deno.test("health.headers and health.method are what probes say", async () => {
  const probes: [string | undefined, string | null, string | null][] = [];
  const { proxy } = proxyOf({
    health: {
      method: "HEAD",
      host: "app.test",
      headers: { "X-Key": "secret" },
    },
    fetch: (_input, init) => {
      const headers = new Headers(init?.headers);
      probes.push([init?.method, headers.get("x-key"), headers.get("host")]);
      return Promise.resolve(new Response());
    },
  });
  await proxy.ready;
  assert.deepEqual(probes, [["HEAD", "secret", "app.test"]]);
  await proxy.stop();
});

Deno.test("createProxy() refuses hooks and checks that cannot be used", () => {
  const refused: [wanted: RegExp, options: Record<string, unknown>][] = [
    [/onRequest is not a function/, { onRequest: "x" }],
    [/onResponse is not a function/, { onResponse: 1 }],
    [/onError is not a function/, { onError: {} }],
    [/onSettled is not a function/, { onSettled: true }],
    [/key is not a function/, { key: "x", policy: "uri_hash" }],
    [/key is set, and policy "p2c" hashes/, { key: () => "", policy: "p2c" }],
    [/hashes nothing/, { key: () => "", policy: "sticky:x" }],
    [/health.check is not a function/, { health: { check: 1 } }],
    [/ignore health.path$/, { health: { check: () => true, path: "/" } }],
    [/ignore health.headers$/, { health: { check: () => true, headers: {} } }],
    [/health.method "POST" is not/, { health: { method: "POST" } }],
    [/"Host", which health.host/, { health: { headers: { Host: "a" } } }],
    [/"te", which is not/, { health: { headers: { te: "x" } } }],
    [/"a b", which is no field/, { health: { headers: { "a b": "x" } } }],
    [/"x", whose value/, { health: { headers: { x: "secret\r\ny: z" } } }],
  ];
  for (const [wanted, options] of refused) {
    assert.throws(
      () => proxyOf(options as Partial<ProxyOptions>),
      (error: Error) => {
        assert.ok(error instanceof TypeError, String(error));
        assert.match(error.message, wanted);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
  }
});
