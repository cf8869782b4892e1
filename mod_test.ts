/**
 * The README's promises, kept through the public API alone: requests go in at
 * `fetch`, and what would leave comes out at a fake of the global one. No
 * permission, no socket, no waiting.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type SettingName, SETTINGS } from "./config/settings.ts";
import {
  type BackendFunction,
  createProxy,
  type ProxyOptions,
  type ReverseProxy,
  serve,
} from "./mod.ts";
import { FakeClock, settle } from "./testing/clock.ts";

/** One request as it would have left for a backend. */
interface Sent {
  url: string;
  method: string;
  headers: Headers;
  body: ReadableStream<Uint8Array> | null;
  redirect: string | undefined;
  signal: AbortSignal;
}

type Answer = (sent: Sent) => Response | Promise<Response>;

/** A `fetch` that keeps what it is given and answers as it is told. */
class Network {
  readonly sent: Sent[] = [];
  readonly probes: Sent[] = [];
  answer: Answer;
  probed: Answer;

  constructor(
    answer: Answer = () => new Response("ok"),
    probed: Answer = () => new Response(null),
  ) {
    this.answer = answer;
    this.probed = probed;
  }

  readonly fetch = async (
    input: RequestInfo | URL,
    init: RequestInit = {},
  ): Promise<Response> => {
    const sent: Sent = {
      url: String(input),
      method: init.method ?? "GET",
      headers: new Headers(init.headers),
      body: (init.body ?? null) as ReadableStream<Uint8Array> | null,
      redirect: init.redirect,
      signal: init.signal!,
    };
    const isProbe = new URL(sent.url).pathname.endsWith("/health");
    (isProbe ? this.probes : this.sent).push(sent);
    return await (isProbe ? this.probed : this.answer)(sent);
  };

  /** How many requests each backend got. */
  get counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { url } of this.sent) {
      const { host } = new URL(url);
      counts[host] = (counts[host] ?? 0) + 1;
    }
    return counts;
  }
}

const A = "http://10.0.0.1:3000";
const B = "http://10.0.0.2:3000";
const C = "http://10.0.0.3:3000";

/** What never settles until it is aborted, as `fetch` to a backend that hangs. */
function hang({ signal }: { signal: AbortSignal }): Promise<Response> {
  return new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason))
  );
}

/** A connection that stood and was then reset, in either runtime's words. */
function reset(): never {
  throw Object.assign(
    new TypeError("fetch failed", {
      cause: new Error("Connection reset by peer (os error 104)"),
    }),
    { code: "ECONNRESET" },
  );
}

/** A connection that was refused, in either runtime's words. */
function refuse(): never {
  throw Object.assign(
    new TypeError("fetch failed", {
      cause: new Error(
        "client error (Connect): tcp connect error: Connection refused (os error 111)",
      ),
    }),
    { code: "ECONNREFUSED" },
  );
}

interface World extends AsyncDisposable {
  proxy: ReverseProxy;
  network: Network;
  clock: FakeClock;
  log: string[];
  /** Sends a GET, or what is given, and reads the answer. */
  ask(
    target?: string,
    init?: RequestInit,
  ): Promise<{ status: number; headers: Headers; text: string }>;
}

/** A proxy in a world of its own, where nothing is left to chance. */
function world(
  options: Partial<ProxyOptions> = {},
  answer?: Answer,
  // The first probes are made at once, so this cannot be set later.
  probed?: Answer,
): World {
  const network = new Network(answer, probed);
  const clock = new FakeClock(1_000);
  const log: string[] = [];
  const proxy = createProxy({
    backends: [A],
    fetch: network.fetch,
    clock,
    log: (line) => log.push(line),
    // Jitter of nothing: after the first, probes are one interval apart.
    random: () => 0.5,
    ...options,
  });
  return {
    proxy,
    network,
    clock,
    log,
    async ask(target = "/", init) {
      const response = await proxy.fetch(
        new Request(`http://sluice.test${target}`, init),
      );
      const { status, headers } = response;
      return { status, headers, text: await response.text() };
    },
    [Symbol.asyncDispose]: () => proxy.stop(),
  };
}

// ── What it is ──────────────────────────────────────────────────────────────

Deno.test("importing does nothing", async () => {
  const { setTimeout, setInterval, fetch } = globalThis;
  const touched: string[] = [];
  const note = (name: string) => () => void touched.push(name);
  const fakes = {
    setTimeout: note("setTimeout"),
    setInterval: note("setInterval"),
    fetch: note("fetch"),
  };
  Object.assign(globalThis, fakes);
  try {
    // A module of its own, since the one above is loaded already.
    // @ts-ignore: a query is nothing that types know of
    await import("./mod.ts?again");
  } finally {
    Object.assign(globalThis, { setTimeout, setInterval, fetch });
  }
  assert.deepEqual(touched, []);
});

Deno.test("createProxy() gives a handler that may be called unbound", async () => {
  await using w = world();
  const { fetch } = w.proxy;
  const response = await fetch(new Request("http://sluice.test/a"));
  assert.equal(await response.text(), "ok");
  assert.equal(typeof w.proxy.stop, "function");
  assert.equal(typeof w.proxy[Symbol.asyncDispose], "function");
  assert.ok(w.proxy.ready instanceof Promise);
  assert.equal(w.proxy.pool.size, 1);
});

Deno.test("pool shows each backend and what is known of it", async () => {
  await using w = world({ backends: [A, { url: `${B}/base/`, weight: 3 }] });
  await w.proxy.ready;
  assert.deepEqual(
    [...w.proxy.pool].map(({ url, weight, up }) => ({ url, weight, up })),
    [
      { url: A, weight: 1, up: true },
      { url: `${B}/base`, weight: 3, up: true },
    ],
  );
  assert.equal(w.proxy.pool.get(A)?.inFlight, 0);
});

Deno.test("stop() may be called twice and leaves no timer behind", async () => {
  const w = world({ backends: [A, B], timeoutMs: 1_000 });
  await w.proxy.ready;
  await w.ask();
  assert.ok(w.clock.pending > 0);
  await Promise.all([w.proxy.stop(), w.proxy.stop()]);
  assert.equal(w.clock.pending, 0);
  await w.proxy.stop();
});

Deno.test("await using stops a proxy, on the machine's own clock", async () => {
  // The sanitizers see a timer that is left; with a fake clock there is none.
  const network = new Network();
  await using proxy = createProxy({
    backends: [A],
    fetch: network.fetch,
    log() {},
  });
  await proxy.ready;
  await (await proxy.fetch(new Request("http://sluice.test/"))).text();
});

Deno.test("serve() refuses a proxy that createProxy() did not make", () => {
  const stranger = { fetch: () => new Response() } as unknown as ReverseProxy;
  assert.throws(() => serve(stranger), /^TypeError: Cannot serve/);
});

// ── Said as it was said ─────────────────────────────────────────────────────

Deno.test("a request goes on with method, target, fields and body", async () => {
  const bodies: string[] = [];
  await using w = world({ backends: [`${A}/base`] }, async ({ body }) => {
    bodies.push(await new Response(body).text());
    return new Response("made", { status: 201, headers: { "x-kind": "b" } });
  });
  const { status, headers, text } = await w.ask("/a%2Fb;c?d=e&f", {
    method: "PATCH",
    headers: { "x-custom": "1", "content-type": "text/x" },
    body: "hello",
  });
  assert.equal(status, 201);
  assert.equal(text, "made");
  assert.equal(headers.get("x-kind"), "b");
  const [sent] = w.network.sent;
  assert.equal(sent!.method, "PATCH");
  assert.equal(sent!.url, `${A}/base/a%2Fb;c?d=e&f`);
  assert.equal(sent!.headers.get("x-custom"), "1");
  assert.equal(sent!.headers.get("content-type"), "text/x");
  assert.deepEqual(bodies, ["hello"]);
});

Deno.test("multiple Set-Cookie fields stay separate", async () => {
  await using w = world({}, () =>
    new Response("", {
      headers: [["set-cookie", "a=1"], ["set-cookie", "b=2"]],
    }));
  const { headers } = await w.ask();
  assert.deepEqual(headers.getSetCookie(), ["a=1", "b=2"]);
});

Deno.test("hop-by-hop fields and untrusted forwarding fields are removed", async () => {
  await using w = world({}, () =>
    new Response("", {
      headers: { "keep-alive": "timeout=5", "proxy-authenticate": "x", a: "b" },
    }));
  const { headers } = await w.ask("/", {
    headers: {
      connection: "x-hop",
      "x-hop": "1",
      te: "trailers",
      "x-forwarded-for": "1.2.3.4",
      forwarded: "for=1.2.3.4",
      "x-real-ip": "1.2.3.4",
    },
  });
  const sent = w.network.sent[0]!.headers;
  for (
    const gone of ["connection", "x-hop", "te", "forwarded", "x-real-ip"]
  ) assert.equal(sent.get(gone), null, gone);
  assert.notEqual(sent.get("x-forwarded-for"), "1.2.3.4");
  assert.equal(headers.get("keep-alive"), null);
  assert.equal(headers.get("a"), "b");
});

Deno.test("X-Forwarded-*, Via and the client's Host are added", async () => {
  await using w = world({ backends: [A] });
  await w.proxy.fetch(new Request("http://shop.test:81/a"), {
    clientAddress: "203.0.113.7",
  });
  const { headers } = w.network.sent[0]!;
  assert.equal(headers.get("x-forwarded-for"), "203.0.113.7");
  assert.equal(headers.get("x-forwarded-host"), "shop.test:81");
  assert.equal(headers.get("x-forwarded-proto"), "http");
  assert.match(headers.get("via") ?? "", /^1\.1 sluice-/);
  assert.equal(headers.get("host"), "shop.test:81");
});

Deno.test("trustedProxies have their forwarding fields appended to", async () => {
  await using w = world({ trustedProxies: ["private"] });
  await w.proxy.fetch(
    new Request("http://sluice.test/", {
      headers: { "x-forwarded-for": "203.0.113.7" },
    }),
    { clientAddress: "10.1.2.3" },
  );
  assert.equal(
    w.network.sent[0]!.headers.get("x-forwarded-for"),
    "203.0.113.7, 10.1.2.3",
  );
});

Deno.test("redirects are passed on, and point back here when they must", async () => {
  await using w = world({ backends: [`${A}/base`] }, () =>
    new Response(null, {
      status: 302,
      headers: { location: `${A}/base/there?x` },
    }));
  const { status, headers } = await w.ask();
  assert.equal(status, 302);
  assert.equal(w.network.sent[0]!.redirect, "manual");
  assert.equal(headers.get("location"), "http://sluice.test/there?x");
});

Deno.test("requestId keeps a valid id and makes one if there is none", async () => {
  await using w = world({ requestId: true });
  const kept = await w.ask("/", { headers: { "x-request-id": "abcdefgh-1" } });
  assert.equal(kept.headers.get("x-request-id"), "abcdefgh-1");
  const made = await w.ask("/", { headers: { "x-request-id": "a b" } });
  const id = made.headers.get("x-request-id") ?? "";
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.deepEqual(
    w.network.sent.map(({ headers }) => headers.get("x-request-id")),
    ["abcdefgh-1", id],
  );
});

// ── Balancing ────────────────────────────────────────────────────────────────

Deno.test("3,000 requests over 3 backends are 1000 each", async () => {
  await using w = world({ backends: [A, B, C] });
  for (let i = 0; i < 3_000; i++) await w.ask();
  assert.deepEqual(Object.values(w.network.counts), [1_000, 1_000, 1_000]);
});

Deno.test("weights are shares, and 0 gets nothing", async () => {
  await using w = world({
    backends: [
      { url: A, weight: 3 },
      { url: B, weight: 1 },
      { url: C, weight: 0 },
    ],
  });
  for (let i = 0; i < 400; i++) await w.ask();
  assert.deepEqual(w.network.counts, {
    "10.0.0.1:3000": 300,
    "10.0.0.2:3000": 100,
  });
});

Deno.test("a backend that probes find down gets nothing; its share goes to all others", async () => {
  await using w = world(
    { backends: [A, B, C] },
    undefined,
    ({ url }) => new Response(null, { status: url.startsWith(A) ? 500 : 200 }),
  );
  await w.proxy.ready;
  for (let i = 0; i < 3_000; i++) await w.ask();
  assert.deepEqual(w.network.counts, {
    "10.0.0.2:3000": 1_500,
    "10.0.0.3:3000": 1_500,
  });
});

Deno.test("fall failures take a backend out, and rise passes bring it back", async () => {
  const health = { path: "/health", intervalMs: 1_000, timeoutMs: 500 };
  await using w = world({ backends: [A, B], health: { ...health, fall: 2 } });
  await w.proxy.ready;
  const share = async () => {
    w.network.sent.length = 0;
    for (let i = 0; i < 10; i++) await w.ask();
    return w.network.counts["10.0.0.1:3000"] ?? 0;
  };
  let status = 500;
  w.network.probed = ({ url }) =>
    new Response(null, { status: url.startsWith(A) ? status : 200 });
  const probes = () =>
    w.network.probes.filter(({ url }) => url.startsWith(A)).length;
  const seen: [number, number][] = [];
  for (let failed = 1; failed <= 2; failed++) {
    const before = probes();
    while (probes() === before) await w.clock.advance(50);
    seen.push([status, await share()]);
  }
  status = 200;
  for (let passed = 1; passed <= 2; passed++) {
    const before = probes();
    while (probes() === before) await w.clock.advance(50);
    seen.push([status, await share()]);
  }
  assert.deepEqual(seen, [[500, 5], [500, 0], [200, 0], [200, 5]]);
  assert.deepEqual(w.log, [
    `backend ${A} is down (probe of /health: status 500)`,
    `backend ${A} is up (status 200)`,
  ]);
});

Deno.test("health: false sends no probes", async () => {
  await using w = world({ health: false });
  await w.proxy.ready;
  await w.clock.advance(60_000);
  assert.equal(w.network.probes.length, 0);
  assert.equal((await w.ask()).text, "ok");
});

Deno.test("a refused connection costs no client an error", async () => {
  await using w = world(
    { backends: [A, B], health: false },
    async ({ url, body }) =>
      url.startsWith(A) ? refuse() : new Response(await text(body)),
  );
  for (let i = 0; i < 10; i++) {
    const { status, text } = await w.ask("/", { method: "POST", body: "once" });
    assert.equal(status, 200);
    assert.equal(text, "once");
  }
});

Deno.test("a POST that may have been sent is not sent again; a GET is", async () => {
  await using w = world({ backends: [A, B], health: false, eject: false });
  w.network.answer = ({ url }) => url.startsWith(A) ? reset() : new Response();
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await w.ask()).status);
  assert.deepEqual(statuses, [200, 200, 200, 200]);
  statuses.length = 0;
  for (let i = 0; i < 4; i++) {
    statuses.push((await w.ask("/", { method: "POST", body: "x" })).status);
  }
  assert.deepEqual(statuses.sort(), [200, 200, 502, 502]);
});

// ── Functions and composition ───────────────────────────────────────────────

Deno.test("a function is a backend: it gets the request and is not probed", async () => {
  const seen: Request[] = [];
  await using w = world({
    backends: [(request: Request) => {
      seen.push(request);
      return new Response("from a function", { status: 418 });
    }],
  });
  await w.proxy.ready;
  const { status, text } = await w.ask("/a?b", { headers: { "x-a": "1" } });
  assert.equal(status, 418);
  assert.equal(text, "from a function");
  assert.equal(seen[0]!.url, "http://sluice.test/a?b");
  assert.equal(seen[0]!.headers.get("x-a"), "1");
  await w.clock.advance(60_000);
  assert.equal(w.network.probes.length, 0);
});

Deno.test("a function gets a body made in code, and may stream its answer", async () => {
  await using w = world({
    backends: [(request: Request) => new Response(request.body)],
  });
  const stream = new Response("a stream of unknown length").body!;
  for (const body of ["text", new Uint8Array([104, 105]), stream]) {
    const { text } = await w.ask(
      "/",
      { method: "POST", body, duplex: "half" } as RequestInit,
    );
    assert.equal(
      text,
      body === stream
        ? "a stream of unknown length"
        : body === "text"
        ? "text"
        : "hi",
    );
  }
});

Deno.test("a function's throw is 502 without a word of it, and a bad outcome", async () => {
  const down: BackendFunction = () => {
    throw new Error("secret");
  };
  await using w = world({ backends: [down, () => new Response("fine")] });
  const statuses: number[] = [];
  for (let i = 0; i < 12; i++) {
    const { status, text } = await w.ask("/", { method: "POST", body: "x" });
    assert.doesNotMatch(text, /secret/);
    statuses.push(status);
  }
  // Three in a row, and it is ejected.
  assert.equal(statuses.filter((status) => status === 502).length, 3);
  assert.deepEqual(new Set(statuses.slice(6)), new Set([200]));
});

Deno.test("a function that returns no valid Response has failed", async () => {
  const used = new Response("read");
  await used.text();
  for (const given of [undefined, "text", Response.error(), used]) {
    const broken = (() => given) as unknown as BackendFunction;
    await using w = world({ backends: [broken, () => new Response("fine")] });
    const statuses: number[] = [];
    for (let i = 0; i < 2; i++) {
      statuses.push((await w.ask("/", { method: "POST", body: "x" })).status);
    }
    assert.deepEqual(statuses.sort(), [200, 502], String(given));
    const counted = w.proxy.pool.backends.map(({ inFlight }) => inFlight);
    assert.deepEqual(counted, [0, 0]);
  }
});

Deno.test("a function's own 503 is passed on and is not an outcome", async () => {
  await using w = world({
    backends: [
      () => new Response("closed", { status: 503 }),
      () => new Response("fine"),
    ],
  });
  const statuses = [];
  for (let i = 0; i < 20; i++) statuses.push((await w.ask()).status);
  assert.equal(statuses.filter((status) => status === 503).length, 10);
});

Deno.test("a function as a backup is a maintenance page", async () => {
  const page = () => new Response("back soon", { status: 503 });
  let status = 200;
  await using w = world(
    {
      backends: [A, { answer: page, backup: true }],
      health: { path: "/health", rise: 1, fall: 1 },
    },
    undefined,
    () => new Response(null, { status }),
  );
  await w.proxy.ready;
  assert.equal((await w.ask()).text, "ok");
  status = 500;
  while (w.proxy.pool.get(A)!.up) await w.clock.advance(100);
  assert.equal((await w.ask()).text, "back soon");
  status = 200;
  while (!w.proxy.pool.get(A)!.up) await w.clock.advance(100);
  assert.equal((await w.ask()).text, "ok");
});

Deno.test("a proxy is a backend of another", async () => {
  await using inner = world({ backends: [A] }, ({ url }) => new Response(url));
  await using outer = world({ backends: [inner.proxy.fetch] });
  const { text, status } = await outer.ask("/x?y", {
    method: "PUT",
    body: "deep",
  });
  assert.equal(status, 200);
  assert.equal(text, `${A}/x?y`);
  assert.equal(await new Response(inner.network.sent[0]!.body).text(), "deep");
});

Deno.test("two pools behind one if", async () => {
  await using api = world({ backends: [A] }, () => new Response("api"));
  await using site = world({ backends: [B] }, () => new Response("site"));
  const handler = (request: Request) =>
    new URL(request.url).pathname.startsWith("/api/")
      ? api.proxy.fetch(request)
      : site.proxy.fetch(request);
  const ask = async (path: string) =>
    await (await handler(new Request(`http://sluice.test${path}`))).text();
  assert.equal(await ask("/api/x"), "api");
  assert.equal(await ask("/x"), "site");
});

Deno.test("a wrapper may add a field to the answer", async () => {
  await using w = world();
  const inner = await w.proxy.fetch(new Request("http://sluice.test/"));
  const response = new Response(inner.body, inner);
  response.headers.set("x-served-by", "edge");
  assert.equal(await response.text(), "ok");
});

// ── Answers of its own ──────────────────────────────────────────────────────

interface Refused {
  name: string;
  options?: Partial<ProxyOptions>;
  answer?: Answer;
  init?: RequestInit;
  /** Given as it is, where `Request` would refuse or hide it. */
  raw?: Partial<Record<"method" | "url", string>>;
  status: number;
  error: string;
}

const REFUSED: Refused[] = [
  {
    name: "a Host that is none",
    init: { headers: { host: "a/b" } },
    status: 400,
    error: "http_request_error",
  },
  {
    name: "TRACE",
    raw: { method: "TRACE" },
    status: 405,
    error: "http_request_denied",
  },
  {
    name: "CONNECT",
    raw: { method: "CONNECT" },
    status: 501,
    error: "http_request_error",
  },
  {
    name: "a body over the limit, declared",
    options: { maxBodyBytes: 3 },
    init: {
      method: "POST",
      body: "1234",
      headers: { "content-length": "4" },
    },
    status: 413,
    error: "http_request_denied",
  },
  {
    name: "a reset connection",
    answer: reset,
    init: { method: "POST" },
    status: 502,
    error: "connection_terminated",
  },
  {
    name: "a refused connection",
    answer: refuse,
    status: 502,
    error: "connection_refused",
  },
  {
    name: "a status that HTTP does not have",
    answer: () =>
      Object.defineProperty(new Response(), "status", { value: 700 }),
    init: { method: "POST" },
    status: 502,
    error: "http_protocol_error",
  },
];

for (const { name, options, answer, init, raw, status, error } of REFUSED) {
  Deno.test(`${name} is answered with ${status} and a Proxy-Status`, async () => {
    await using w = world({ health: false, ...options }, answer);
    let request = new Request("http://sluice.test/", init);
    if (raw !== undefined) {
      const real = request;
      request = new Proxy(real, {
        get(target, key) {
          if (Object.hasOwn(raw, key)) return raw[key as "method"];
          const value = Reflect.get(target, key, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    }
    const response = await w.proxy.fetch(request);
    assert.equal(response.status, status);
    assert.equal(
      response.headers.get("proxy-status"),
      `sluice; error=${error}`,
    );
    assert.match(response.headers.get("content-type") ?? "", /^text\/plain/);
    const text = await response.text();
    assert.ok(text.length > 0 && text.length < 120, text);
    assert.doesNotMatch(text, /10\.0\.0\.1|3000|\.ts/);
  });
}

Deno.test("all backends down is 503 with Retry-After", async () => {
  await using w = world({}, undefined, refuse);
  await w.proxy.ready;
  const { status, headers } = await w.ask();
  assert.equal(status, 503);
  assert.equal(headers.get("retry-after"), "1");
  assert.equal(
    headers.get("proxy-status"),
    "sluice; error=destination_unavailable",
  );
});

Deno.test("an undeclared body over the limit is 413", async () => {
  await using w = world(
    { maxBodyBytes: 3 },
    async ({ body }) => new Response(await text(body)),
  );
  const { status } = await w.ask("/", { method: "POST", body: "1234" });
  assert.equal(status, 413);
});

Deno.test("a request that loops is 508", async () => {
  // The proxy is its own backend, which every deployment manages once.
  const handler: BackendFunction = (request) => w.proxy.fetch(request);
  await using w = world({ backends: [handler] });
  const { status, headers } = await w.ask();
  assert.equal(status, 508);
  assert.equal(
    headers.get("proxy-status"),
    "sluice; error=proxy_loop_detected",
  );
});

Deno.test("maxInFlight answers 503 and queues nothing", async () => {
  await using w = world({ maxInFlight: 1 }, hang);
  const gone = new AbortController();
  const first = w.proxy.fetch(
    new Request("http://sluice.test/", { signal: gone.signal }),
  );
  const { status, headers } = await w.ask();
  assert.equal(status, 503);
  assert.equal(headers.get("retry-after"), "1");
  await w.clock.advance(100);
  gone.abort();
  await first;
});

Deno.test("a client that disconnects ends its attempt, and no backend is blamed", async () => {
  await using w = world({ backends: [A, B], eject: { after: 1 } }, hang);
  for (let i = 0; i < 5; i++) {
    const gone = new AbortController();
    const answer = w.proxy.fetch(
      new Request("http://sluice.test/", { signal: gone.signal }),
    );
    await w.clock.advance(100);
    gone.abort();
    assert.equal((await answer).status, 499);
    assert.equal(w.network.sent[i]!.signal.aborted, true);
  }
  // No second attempt, no ejection, nothing left open.
  assert.equal(w.network.sent.length, 5);
  assert.deepEqual(w.log, []);
  for (const backend of w.proxy.pool) {
    assert.equal(backend.ejected, false);
    assert.equal(backend.inFlight, 0);
  }
});

// ── Options ─────────────────────────────────────────────────────────────────

const WRONG: [string, Partial<ProxyOptions>][] = [
  ["backends", { backends: [] }],
  ["backends[0]", { backends: ["10.0.0.1:3000"] }],
  ["backends[1]", { backends: [A, "ftp://a"] }],
  ["backends[0].weight", { backends: [{ url: A, weight: -1 }] }],
  ["backends[0].weight", { backends: [{ url: A, weight: 1001 }] }],
  ["backends[0].maxConns", { backends: [{ url: A, maxConns: 0 }] }],
  ["backends[0].weight", {
    backends: [{ answer: () => new Response(), weight: -1 }],
  }],
  ["policy", { policy: "fastest" as "p2c" }],
  ["health.path", { health: { path: "health" } }],
  ["health.status", { health: { status: "2xx" } }],
  ["health.intervalMs", { health: { intervalMs: 0 } }],
  ["health.timeoutMs", { health: { timeoutMs: NaN } }],
  ["health.timeoutMs", { health: { timeoutMs: 9_000 } }],
  ["health.rise", { health: { rise: 0 } }],
  ["health.fall", { health: { fall: 1.5 } }],
  ["eject.after", { eject: { after: 0 } }],
  ["eject.timeMs", { eject: { timeMs: -1 } }],
  ["retries", { retries: -1 }],
  ["retryBudget", { retryBudget: 2 }],
  ["timeoutMs", { timeoutMs: 0 }],
  ["connectTimeoutMs", { connectTimeoutMs: 0 }],
  ["clientTimeoutMs", { clientTimeoutMs: 0 }],
  ["idleTimeoutMs", { idleTimeoutMs: -1 }],
  ["maxMessageBytes", { maxMessageBytes: 65 * 1024 * 1024 }],
  ["maxBodyBytes", { maxBodyBytes: 0.5 }],
  ["maxInFlight", { maxInFlight: 0 }],
  ["maxInFlight", { maxInFlight: "automatic" as "auto" }],
  ["hostHeader", { hostHeader: "keep" as "auto" }],
  ["trustedProxies", { trustedProxies: ["10.0.0.0/33"] }],
];

for (const [name, options] of WRONG) {
  const shown = JSON.stringify(
    options,
    (_, value) => Number.isNaN(value) ? "NaN" : value,
  );
  Deno.test(`createProxy() refuses ${shown} by name`, () => {
    assert.throws(
      () =>
        createProxy({ backends: [A], fetch: new Network().fetch, ...options }),
      (error: Error) =>
        (error instanceof RangeError || error instanceof TypeError) &&
        error.message.includes(`Cannot make a proxy: ${name} `),
    );
  });
}

Deno.test("a backend cannot be in the pool twice", () => {
  assert.throws(
    () => createProxy({ backends: [A, `${A}/`], fetch: new Network().fetch }),
    RangeError,
  );
});

/** What a setting's default is read into. */
function settingDefault<T>(name: SettingName): T {
  const { grammar, default: text } = SETTINGS[name];
  const result = grammar.parse(text);
  assert.ok("value" in result);
  return result.value as T;
}

Deno.test("without options probes use the settings' defaults", async () => {
  const interval = settingDefault<number>("HEALTH_INTERVAL");
  const timeout = settingDefault<number>("HEALTH_TIMEOUT");
  const path = settingDefault<string>("HEALTH_PATH");
  await using w = world();
  await w.proxy.ready;
  assert.equal(w.network.probes[0]!.url, `${A}${path}`);
  const { log, network, clock } = w;
  // From the second on they are one interval apart, to the tick.
  while (network.probes.length < 2) await clock.advance(10);
  const second = clock.now();
  while (network.probes.length < 3) await clock.advance(10);
  const gap = clock.now() - second;
  assert.ok(Math.abs(gap - interval) <= interval / 20, String(gap));
  // One that hangs has failed at the time limit, and `fall` of them are down.
  network.probed = hang;
  const fall = settingDefault<number>("HEALTH_FALL");
  const made = network.probes.length;
  while (network.probes.length < made + fall) await clock.advance(10);
  const backend = w.proxy.pool.get(A)!;
  await clock.advance(timeout - 20);
  assert.equal(backend.up, true);
  await clock.advance(40);
  assert.equal(backend.up, false);
  assert.match(log[0]!, new RegExp(`no answer within ${timeout} ms`));
  // And `rise` passes are up.
  network.probed = () => new Response(null);
  const rise = settingDefault<number>("HEALTH_RISE");
  const before = network.probes.length;
  while (network.probes.length < before + rise) {
    assert.equal(backend.up, false);
    await clock.advance(10);
  }
  assert.equal(backend.up, true);
});

Deno.test("without options a probe's statuses are the setting's default", async () => {
  assert.equal(settingDefault("HEALTH_STATUS"), "200-399");
  for (
    const [status, up] of [
      [200, true],
      [399, true],
      [400, false],
      [404, false],
      [503, false],
    ] as const
  ) {
    for (const path of ["/health", undefined]) {
      await using w = world(
        { health: { path } },
        undefined,
        () => new Response(null, { status }),
      );
      await w.proxy.ready;
      // While no path was chosen, a server that answers is one that works.
      const lenient = path === undefined && status < 500;
      assert.equal(w.proxy.pool.get(A)!.up, up || lenient, String(status));
      assert.equal(w.log.length, status < 400 ? 0 : 1);
    }
  }
});

Deno.test("without options the time limit is the setting's default", async () => {
  const timeout = settingDefault<number>("TIMEOUT");
  await using w = world({ health: false }, hang);
  let status = 0;
  const answer = w.ask().then((answer) => status = answer.status);
  await w.clock.advance(timeout - 60);
  assert.equal(status, 0);
  await w.clock.advance(120);
  await answer;
  assert.equal(status, 504);
  // What ran into the limit is not tried again.
  assert.equal(w.network.sent.length, 1);
});

Deno.test("without options a request is tried as often as the setting's default", async () => {
  const retries = settingDefault<number>("RETRIES");
  await using w = world(
    { backends: [A, B, C, "http://10.0.0.4", "http://10.0.0.5"] },
    reset,
  );
  await w.ask();
  assert.equal(w.network.sent.length, 1 + retries);
  assert.equal(
    new Set(w.network.sent.map(({ url }) => url)).size,
    1 + retries,
  );
});

Deno.test("without options the retry budget is the setting's default", async () => {
  const share = settingDefault<number>("RETRY_BUDGET");
  await using w = world({ backends: [A, B, C], eject: false }, reset);
  const requests = 1_000;
  for (let i = 0; i < requests; i++) await w.ask();
  const retried = w.network.sent.length - requests;
  assert.equal(retried, 100 + requests * share);
});

Deno.test("without options ejection uses the settings' defaults", async () => {
  const after = settingDefault<number>("EJECT_AFTER");
  const time = settingDefault<number>("EJECT_TIME");
  await using w = world({ backends: [A, B], health: false });
  w.network.answer = ({ url }) =>
    new Response(null, { status: url.startsWith(A) ? 503 : 200 });
  const statuses: number[] = [];
  for (let i = 0; i < 20; i++) statuses.push((await w.ask()).status);
  assert.equal(statuses.filter((status) => status === 503).length, after);
  await w.clock.advance(time - 20);
  assert.equal(w.proxy.pool.get(A)!.ejected, true);
  await w.clock.advance(40);
  assert.equal(w.proxy.pool.get(A)!.ejected, false);
});

Deno.test("without options what is off by default is off", async () => {
  for (
    const name of [
      "IDLE_TIMEOUT",
      "MAX_BODY",
      "MAX_IN_FLIGHT",
      "RATE_LIMIT",
    ] as const
  ) assert.equal(settingDefault(name), false);
  for (const name of ["REQUEST_ID", "TRACE", "ACCESS_LOG"] as const) {
    assert.equal(settingDefault(name), false);
  }
  assert.equal(settingDefault("VIA"), true);
  await using w = world();
  const { headers } = await w.ask();
  assert.equal(headers.get("x-request-id"), null);
  assert.equal(w.network.sent[0]!.headers.get("x-request-id"), null);
  assert.equal(w.network.sent[0]!.headers.get("traceparent"), null);
  assert.ok(w.network.sent[0]!.headers.has("via"));
});

Deno.test("hostHeader auto keeps the client's Host for http and not for https", async () => {
  assert.equal(settingDefault("HOST_HEADER"), "auto");
  const hosts = async (options: Partial<ProxyOptions>) => {
    await using w = world({ health: false, ...options });
    await w.ask();
    return w.network.sent[0]!.headers.get("host");
  };
  const https = ["https://backend.test:444"];
  assert.equal(await hosts({}), "sluice.test");
  assert.equal(await hosts({ backends: https }), "backend.test:444");
  assert.equal(await hosts({ hostHeader: "backend" }), "10.0.0.1:3000");
  assert.equal(
    await hosts({ backends: https, hostHeader: "preserve" }),
    "sluice.test",
  );
});

Deno.test("via: false sends no Via", async () => {
  await using w = world({ via: false });
  await w.ask();
  await settle();
  assert.equal(w.network.sent[0]!.headers.get("via"), null);
});

async function text(body: ReadableStream<Uint8Array> | null): Promise<string> {
  return await new Response(body).text();
}

// ── The pool, while it works ────────────────────────────────────────────────

Deno.test("pool.add() checks backends as createProxy() does", async () => {
  await using w = world();
  for (
    const wrong of [
      "10.0.0.9:3000",
      "ftp://10.0.0.9",
      "http://10.0.0.9?a",
      { url: B, weight: 1001 },
      { url: B, maxConns: 0 },
      { url: B, resolve: true },
      A,
    ]
  ) {
    assert.throws(
      () => w.proxy.pool.add(wrong),
      (error) => error instanceof TypeError || error instanceof RangeError,
      JSON.stringify(wrong),
    );
  }
  assert.equal(w.proxy.pool.size, 1);
  assert.equal(w.proxy.pool.add("http://10.0.0.2:3000/").url, B);
});

Deno.test("a backend that is added gets requests once its probe has passed", async () => {
  let well = false;
  await using w = world(
    { health: { intervalMs: 1_000, timeoutMs: 500, rise: 1 } },
    undefined,
    ({ url }) =>
      new Response("", { status: url.startsWith(B) && !well ? 500 : 200 }),
  );
  await w.proxy.ready;
  w.proxy.pool.add(B);
  for (let i = 0; i < 4; i++) await w.ask();
  assert.deepEqual(w.network.counts, { "10.0.0.1:3000": 4 });
  well = true;
  await w.clock.advance(2_000);
  for (let i = 0; i < 4; i++) await w.ask();
  assert.deepEqual(w.network.counts, {
    "10.0.0.1:3000": 6,
    "10.0.0.2:3000": 2,
  });
});

Deno.test("pool.remove(), drain() and setWeight() hold from the next request on", async () => {
  await using w = world({ backends: [A, B, C], health: false });
  const { pool } = w.proxy;
  const asked = async () => {
    w.network.sent.length = 0;
    for (let i = 0; i < 12; i++) assert.equal((await w.ask()).status, 200);
    return Object.values(w.network.counts).sort((a, b) => a - b);
  };
  const events: string[] = [];
  const end = pool.subscribe(({ type }) => events.push(type));
  assert.deepEqual(await asked(), [4, 4, 4]);
  pool.remove(pool.get(C)!);
  assert.deepEqual(await asked(), [6, 6]);
  pool.setWeight(pool.get(B)!, 2);
  assert.deepEqual(await asked(), [4, 8]);
  pool.drain(pool.get(B)!);
  assert.deepEqual(await asked(), [12]);
  pool.drain(pool.get(B)!, false);
  end();
  pool.add(C);
  assert.deepEqual(await asked(), [3, 3, 6]);
  assert.deepEqual(events, ["removed", "changed", "draining", "changed"]);
});

Deno.test("resolve keeps a backend for each address that lookup finds", async () => {
  let addresses = ["10.0.0.1", "10.0.0.2"];
  await using w = world({
    backends: [{ url: "http://app.test:3000", resolve: true }],
    lookup: (host) =>
      host === "app.test"
        ? Promise.resolve({ addresses })
        : Promise.reject(new Error("unknown")),
  });
  await w.proxy.ready;
  for (let i = 0; i < 4; i++) await w.ask();
  assert.deepEqual(w.network.counts, {
    "10.0.0.1:3000": 2,
    "10.0.0.2:3000": 2,
  });
  addresses = ["10.0.0.3"];
  await w.clock.advance(11_000);
  w.network.sent.length = 0;
  for (let i = 0; i < 4; i++) await w.ask();
  assert.deepEqual(w.network.counts, { "10.0.0.3:3000": 4 });
});

Deno.test("a proven backend that begins to truncate its bodies is detected", async () => {
  const whole = () =>
    new Response("ok", { headers: { "content-length": "2" } });
  const cut = () =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.error(new TypeError("reset")),
      }),
      { headers: { "content-length": "9" } },
    );
  let sick = false;
  await using w = world(
    { backends: [A, B], health: false, policy: "round_robin" },
    ({ url }) => sick && url.startsWith(A) ? cut() : whole(),
  );
  const a = w.proxy.pool.get(A)!;
  const ask = async () =>
    await (await w.proxy.fetch(new Request("http://sluice.test/"))).text();
  // A new backend is watched until it has proven itself, 64 answers long; the
  // clock stands still, so none of those after that is a sample.
  for (let i = 0; i < 150; i++) assert.equal(await ask(), "ok");
  sick = true;
  // Not a sample: it goes through as the runtime has it, and breaks visibly.
  const [first, second] = await Promise.allSettled([ask(), ask()]);
  assert.deepEqual(
    [first, second].map(({ status }) => status).sort(),
    ["fulfilled", "rejected"],
  );
  assert.equal(a.ejected, false);
  // A sample: nothing of it has gone out, so another backend answers instead,
  // and from here on it is watched closely until it is ejected.
  await w.clock.advance(1_000);
  for (let i = 0; i < 6; i++) assert.equal(await ask(), "ok");
  assert.equal(a.ejected, true);
});

/**
 * How many of some answers are looked at: `asks` of them, one each 5 ms, to
 * `many` backends that have proven themselves and declare `length` bytes.
 */
async function looks(
  many: number,
  length: number,
  asks: number,
): Promise<number> {
  let given: ReadableStream | null = null as ReadableStream | null;
  // The end of a large body can be seen without reading it only where the server
  // says when it is through.
  const completed = Promise.resolve();
  const remoteAddr = { transport: "tcp", hostname: "127.0.0.1", port: 1 };
  const connection = { remoteAddr, completed };
  await using w = world({
    backends: Array.from({ length: many }, (_, i) => `http://10.0.1.${i}:80`),
    health: false,
  }, () => {
    const answer = new Response("ok", {
      headers: { "content-length": `${proving ? 2 : length}` },
    });
    given = answer.body;
    return answer;
  });
  let proving = true;
  for (let i = 0; i < 65 * many; i++) await w.ask();
  proving = false;
  let looked = 0;
  for (let i = 0; i < asks; i++) {
    await w.clock.advance(5);
    const { body } = await w.proxy.fetch(
      new Request("http://sluice.test/"),
      connection,
    );
    if (given!.locked) looked++;
    await body!.cancel();
  }
  return looked;
}

Deno.test("one body per 10 ms is sampled of many proven backends, per 100 ms of one", async () => {
  assert.equal(await looks(1, 2, 80), 4);
  // Each backend is asked twice, 200 ms apart: without the limit every time.
  assert.equal(await looks(40, 2, 80), 40);
});

Deno.test("a large body is always followed, and one of unknown length", async () => {
  // How long it takes is up to its client: one that takes nothing is to be seen.
  assert.equal(await looks(1, 64 * 1024 + 1, 80), 80);
});

// ── Time limits ──────────────────────────────────────────────────────────────

/** An upload whose pieces a test gives when it wants to. */
function dribble(): {
  body: ReadableStream<Uint8Array>;
  give(text: string): void;
  close(): void;
} {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({
    start: (own) => void (controller = own),
  });
  return {
    body,
    give: (text) => controller.enqueue(new TextEncoder().encode(text)),
    close: () => controller.close(),
  };
}

function upload(body: ReadableStream<Uint8Array>): Request {
  return new Request("http://sluice.test/up", {
    method: "POST",
    body,
    duplex: "half",
    headers: { "transfer-encoding": "chunked" },
  } as RequestInit);
}

/** A backend that reads an upload to its end and then thinks. */
function reader(clock: () => FakeClock, thinksMs = 0): Answer {
  return async ({ body, signal }) => {
    const size = (await new Response(body).bytes()).byteLength;
    await new Promise<void>((resolve, reject) => {
      if (thinksMs === 0) return resolve();
      clock().setTimeout(resolve, thinksMs);
      signal.addEventListener("abort", () => reject(signal.reason));
    });
    return new Response(String(size));
  };
}

Deno.test("TIMEOUT does not run while the client sends its body", async () => {
  // A steady upload of 40 pieces, one a second, was cut after 30 s, and the
  // healthy backend that took it was ejected.
  await using w = world({ timeoutMs: 10_000, eject: { after: 1 } });
  w.network.answer = reader(() => w.clock, 9_000);
  const { body, give, close } = dribble();
  const answering = w.proxy.fetch(upload(body));
  for (let i = 0; i < 40; i++) {
    give("x");
    await w.clock.advance(1_000);
  }
  close();
  await settle();
  // From here the backend is timed.
  await w.clock.advance(9_100);
  const answer = await answering;
  assert.deepEqual([answer.status, await answer.text()], [200, "40"]);
  assert.equal([...w.proxy.pool].some(({ ejected }) => ejected), false);
});

Deno.test("TIMEOUT runs from the last byte sent to a backend, and is its bad outcome", async () => {
  await using w = world({
    backends: [A, B],
    timeoutMs: 1_000,
    eject: { after: 1 },
  });
  w.network.answer = reader(() => w.clock, 60_000);
  const { body, give, close } = dribble();
  const answering = w.proxy.fetch(upload(body));
  give("x");
  await w.clock.advance(5_000);
  close();
  await settle();
  await w.clock.advance(1_100);
  assert.equal((await answering).status, 504);
  assert.equal([...w.proxy.pool].filter(({ ejected }) => ejected).length, 1);
});

Deno.test("a client that stalls its upload gets 408, and no backend is blamed", async () => {
  await using w = world({ clientTimeoutMs: 2_000, eject: { after: 1 } });
  w.network.answer = reader(() => w.clock);
  const { body, give } = dribble();
  const streamed = w.proxy.fetch(upload(body));
  const whole = w.proxy.fetch(
    new Request("http://sluice.test/", {
      method: "PUT",
      body: dribble().body,
      duplex: "half",
      headers: { "content-length": "9" },
    } as RequestInit),
  );
  give("x");
  await w.clock.advance(1_900);
  give("x");
  await w.clock.advance(1_900);
  give("x");
  await w.clock.advance(2_100);
  assert.equal((await streamed).status, 408);
  assert.equal((await whole).status, 408);
  assert.equal([...w.proxy.pool].some(({ ejected }) => ejected), false);
  assert.equal([...w.proxy.pool].every(({ inFlight }) => inFlight === 0), true);
});

Deno.test("CLIENT_TIMEOUT cuts an answer that its client does not take, and frees its slot", async () => {
  const statuses: number[] = [];
  await using w = world({
    clientTimeoutMs: 2_000,
    eject: { after: 1 },
    onSettled: ({ status }) => void statuses.push(status),
  });
  let cancelled = 0;
  w.network.answer = () =>
    new Response(
      new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(9)),
        cancel: () => void cancelled++,
      }),
    );
  const answer = await w.proxy.fetch(new Request("http://sluice.test/"));
  const taken = answer.body!.getReader();
  // One that takes a piece now and then is slow, and may be.
  for (let i = 0; i < 5; i++) {
    await taken.read();
    await w.clock.advance(1_900);
  }
  await w.clock.advance(200);
  await assert.rejects(async () => {
    for (let i = 0; i < 100; i++) await taken.read();
  }, /too slow/);
  assert.equal(cancelled, 1);
  assert.deepEqual(statuses, [499]);
  assert.equal([...w.proxy.pool].every(({ inFlight }) => inFlight === 0), true);
  assert.equal([...w.proxy.pool].some(({ ejected }) => ejected), false);
});

Deno.test("CLIENT_TIMEOUT leaves an answer alone whose backend is quiet", async () => {
  await using w = world({ clientTimeoutMs: 2_000 });
  let more: ReadableStreamDefaultController<Uint8Array>;
  w.network.answer = () =>
    new Response(
      new ReadableStream({ start: (controller) => void (more = controller) }),
    );
  const answer = await w.proxy.fetch(new Request("http://sluice.test/"));
  const text = answer.text();
  await settle();
  await w.clock.advance(60_000);
  more!.enqueue(new TextEncoder().encode("late"));
  more!.close();
  assert.equal(await text, "late");
});

Deno.test("CLIENT_TIMEOUT ends an answer that stands still while its upload does, and no other", async () => {
  await using w = world({ clientTimeoutMs: 2_000, eject: { after: 1 } });
  const answered = dribble();
  const seen: string[] = [];
  w.network.answer = ({ body }) => {
    body!.pipeTo(
      new WritableStream({
        write: (chunk) => void seen.push(new TextDecoder().decode(chunk)),
      }),
    ).catch(() => {});
    return new Response(answered.body);
  };
  const { body, give } = dribble();
  const answer = await w.proxy.fetch(upload(body));
  const taken = answer.body!.getReader();
  give("x");
  // The upload stalls, but the answer goes on.
  for (let i = 0; i < 5; i++) {
    const next = taken.read();
    await w.clock.advance(1_900);
    answered.give("y");
    await next;
  }
  assert.deepEqual(seen, ["x"]);
  const last = taken.read();
  last.catch(() => {});
  await w.clock.advance(2_100);
  await assert.rejects(last, /too slow/);
  assert.equal([...w.proxy.pool].some(({ ejected }) => ejected), false);
});

Deno.test("IDLE_TIMEOUT ends an answer whose backend is quiet, and is its bad outcome", async () => {
  await using w = world({
    backends: [A, B],
    idleTimeoutMs: 1_000,
    eject: { after: 1 },
  });
  const answered = dribble();
  w.network.answer = () => new Response(answered.body);
  const answer = await w.proxy.fetch(new Request("http://sluice.test/"));
  const taken = answer.body!.getReader();
  for (let i = 0; i < 5; i++) {
    const next = taken.read();
    await w.clock.advance(900);
    answered.give("x");
    await next;
  }
  const last = taken.read();
  last.catch(() => {});
  await w.clock.advance(1_100);
  await assert.rejects(last, /idle limit/);
  assert.equal([...w.proxy.pool].filter(({ ejected }) => ejected).length, 1);
});

Deno.test("IDLE_TIMEOUT does not run before the response header", async () => {
  // A POST whose body had been sent was ended while its backend was thinking.
  await using w = world({ idleTimeoutMs: 1_000 });
  w.network.answer = reader(() => w.clock, 5_000);
  const { body, give, close } = dribble();
  const answering = w.proxy.fetch(upload(body));
  give("x");
  close();
  await settle();
  await w.clock.advance(5_100);
  assert.equal((await answering).status, 200);
});

Deno.test("the time that a client takes to send its body is not its backend's latency", async () => {
  // Ten bytes over one second made a latency of 1,005 ms.
  await using w = world({ backends: [A], policy: "ewma", health: false });
  w.network.answer = reader(() => w.clock, 20);
  const { body, give, close } = dribble();
  const answering = w.proxy.fetch(upload(body));
  for (let i = 0; i < 10; i++) {
    give("x");
    await w.clock.advance(100);
  }
  close();
  await settle();
  await w.clock.advance(20);
  await (await answering).text();
  const { latencyMs } = w.proxy.pool.get(A)!;
  assert.ok(latencyMs >= 20 && latencyMs < 50, `${latencyMs}`);
});

for (
  const [what, options] of [
    ["a function", {
      backends: [{ answer: () => new Promise<Response>(() => {}) }],
    }],
    ["a `fetch` of one's own", {
      backends: [A],
      fetch: () => new Promise<Response>(() => {}),
    }],
  ] as const
) {
  Deno.test(`${what} that ignores its signal is timed out, and its slot freed`, async () => {
    // It was never answered, and a drain could not end it.
    await using w = world({ health: false, timeoutMs: 1_000, ...options });
    const answering = w.proxy.fetch(new Request("http://sluice.test/"));
    await settle();
    const [backend] = [...w.proxy.pool];
    assert.equal(backend!.inFlight, 1);
    await w.clock.advance(1_100);
    assert.equal((await answering).status, 504);
    assert.equal(backend!.inFlight, 0);
  });
}

Deno.test("a response that comes after the timeout is cancelled", async () => {
  let late!: (response: Response) => void;
  let cancelled = false;
  await using w = world({
    health: false,
    timeoutMs: 1_000,
    retries: 0,
    backends: [{ answer: () => new Promise<Response>((r) => late = r) }],
  });
  const answering = w.proxy.fetch(new Request("http://sluice.test/"));
  await w.clock.advance(1_100);
  assert.equal((await answering).status, 504);
  const body = new ReadableStream({ cancel: () => void (cancelled = true) });
  late(new Response(body));
  await settle();
  assert.equal(cancelled, true);
});

Deno.test("a function gets the client's address, the attempt and the signal", async () => {
  // An inner proxy that got no address took X-Forwarded-For away.
  const heard: unknown[] = [];
  const inner = createProxy({
    backends: [({ headers }) => new Response(headers.get("x-forwarded-for"))],
    health: false,
  });
  await using w = world({
    health: false,
    trustedProxies: ["loopback"],
    backends: [(request, context) => {
      heard.push(context.clientAddress, context.attempt);
      assert.equal(context.signal.aborted, false);
      return inner.fetch(request, context);
    }],
  });
  const answer = await w.proxy.fetch(
    new Request("http://sluice.test/", {
      headers: { "x-forwarded-for": "192.0.2.7" },
    }),
    { clientAddress: "127.0.0.1" },
  );
  assert.equal(await answer.text(), "192.0.2.7");
  assert.deepEqual(heard, ["192.0.2.7", 1]);
  await inner.stop();
});

/** A download that can be resumed, broken after two of its four bytes. */
function cutAfterTwo(): Response {
  return new Response(
    new ReadableStream({
      start: (body) => body.enqueue(new TextEncoder().encode("ab")),
      pull: (body) => body.error(new Error("reset")),
    }),
    { headers: { "content-length": "4", etag: '"1"' } },
  );
}

Deno.test("RESUME ends its attempts when the client disconnects", async () => {
  // It made twenty attempts a second for eleven minutes.
  let cut!: () => void;
  await using w = world({
    health: false,
    resume: true,
    retries: 10,
    eject: false,
  });
  let first = true;
  w.network.answer = () => {
    if (!first) return refuse();
    first = false;
    return new Response(
      new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode("ab"));
          cut = () => controller.error(new Error("reset"));
        },
      }),
      { headers: { "content-length": "4", etag: '"1"' } },
    );
  };
  const answer = await w.proxy.fetch(new Request("http://sluice.test/"));
  const taken = answer.body!.getReader();
  await taken.read();
  const pending = taken.read().catch(() => {});
  cut();
  await w.clock.advance(1_000);
  const asked = w.network.sent.length;
  assert.ok(asked > 2, `${asked}`);
  await taken.cancel();
  await pending;
  await w.clock.advance(60_000);
  assert.equal(w.network.sent.length, asked);
  assert.equal([...w.proxy.pool].every(({ inFlight }) => inFlight === 0), true);
});

Deno.test("RESUME's attempt that is pending as its request ends is recorded", async () => {
  // The request was settled first, and then the attempt had no backend left to
  // record it for: one that hung at every resumption was never ejected.
  const pending = async (
    options: Partial<ProxyOptions>,
    end: (w: World, taken: ReadableStreamDefaultReader) => Promise<void>,
  ) => {
    const outcomes: (readonly string[])[] = [];
    await using w = world(
      {
        backends: [A, B],
        health: false,
        resume: true,
        timeoutMs: 2_000,
        onSettled: ({ attempts }) =>
          outcomes.push(attempts.map(({ outcome }) => outcome)),
        ...options,
      },
      ({ url, signal }) => url.startsWith(B) ? hang({ signal }) : cutAfterTwo(),
    );
    w.proxy.metrics();
    const answer = await w.proxy.fetch(new Request("http://sluice.test/"));
    const taken = answer.body!.getReader();
    await taken.read();
    const rest = taken.read().catch(() => {});
    await settle();
    await end(w, taken);
    await rest;
    await settle();
    assert.deepEqual(
      [...w.proxy.pool].map(({ inFlight }) => inFlight),
      [0, 0],
    );
    const bad = w.proxy.metrics().includes(
      `sluice_backend_outcomes_total{backend="${B}",outcome="bad"} 1`,
    );
    return [outcomes[0]!.at(-1), bad];
  };
  const hook = { onResponse: () => {} };
  for (const options of [{}, hook]) {
    assert.deepEqual(
      await pending(options, (w) => w.clock.advance(2_100)),
      ["no answer within the time limit", true],
    );
    assert.deepEqual(
      await pending(options, (_, taken) => taken.cancel()),
      ["the client left", false],
    );
  }
});

Deno.test("RESUME's attempt is aborted if onResponse has replaced the body meanwhile", async () => {
  // Nothing swept a request that had ended, so the attempt had no time limit.
  let cancelled = false;
  await using w = world(
    {
      backends: [A, B, C],
      health: false,
      resume: true,
      onResponse: async ({ body }) => {
        const taken = body!.getReader();
        await taken.read();
        taken.read().catch(() => {});
        await settle();
        return new Response("mine");
      },
    },
    ({ url, signal }) =>
      url.startsWith(A)
        ? cutAfterTwo()
        : new Promise((resolve) =>
          signal.addEventListener("abort", () =>
            resolve(
              new Response(
                new ReadableStream({ cancel: () => void (cancelled = true) }),
              ),
            ))
        ),
  );
  w.proxy.metrics();
  assert.equal((await w.ask()).text, "mine");
  await settle();
  assert.equal(cancelled, true);
  await w.clock.advance(60_000);
  assert.equal(w.network.sent.length, 2);
  assert.ok([...w.proxy.pool].every(({ inFlight }) => inFlight === 0));
  assert.doesNotMatch(
    w.proxy.metrics(),
    /outcomes_total\{backend="http:..10.0.0.[23]:3000",outcome="\w+"\} [1-9]/,
  );
});

Deno.test("RESUME's attempts are retries: RETRIES and RETRY_BUDGET hold for them", async () => {
  const asked = async (options: Partial<ProxyOptions>) => {
    await using w = world({
      backends: [A, B, C],
      health: false,
      resume: true,
      eject: false,
      ...options,
    });
    let first = true;
    w.network.answer = () => {
      if (!first) return reset();
      first = false;
      return cutAfterTwo();
    };
    const answer = await w.proxy.fetch(new Request("http://sluice.test/"));
    const text = answer.text().catch(() => "cut");
    await w.clock.advance(60_000);
    assert.equal(await text, "cut");
    return w.network.sent.length - 1;
  };
  assert.equal(await asked({ retries: 0 }), 0);
  assert.equal(await asked({ retries: 1 }), 1);
  assert.equal(await asked({ retries: 3 }), 3);
  assert.equal(await asked({}), 2);
});
