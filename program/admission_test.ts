import assert from "node:assert/strict"; // built in to both runtimes
import { createProxy, type ProxyOptions } from "../mod.ts";
import { FakeClock, settle } from "../testing/clock.ts";

const A = "http://10.0.0.1:3000";
const B = "http://10.0.0.2:3000";

type Fetch = (url: string, signal: AbortSignal) => Promise<Response>;

function world(options: Partial<ProxyOptions>, fetch: Fetch) {
  const clock = new FakeClock(1_000);
  const proxy = createProxy({
    backends: [A],
    health: false,
    log: () => {},
    clock,
    fetch: (input, init) => fetch(String(input), init!.signal!),
    ...options,
  });
  return {
    proxy,
    clock,
    ask: (path = "/", init?: RequestInit, clientAddress?: string) =>
      proxy.fetch(
        new Request(`http://sluice.test${path}`, init),
        clientAddress === undefined ? undefined : { clientAddress },
      ) as Promise<Response>,
    /** A metric without labels. */
    metric(name: string): number | undefined {
      const found = new RegExp(`^${name} (.+)$`, "m").exec(proxy.metrics());
      return found === null ? undefined : Number(found[1]);
    },
    [Symbol.asyncDispose]: () => proxy.stop(),
  };
}

/** What never settles until it is aborted. */
function hang(_url: string, signal: AbortSignal): Promise<Response> {
  return new Promise((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason))
  );
}

const WRONG: [name: string, rateLimit: unknown][] = [
  ["rateLimit.requests", { perMs: 1_000 }],
  ["rateLimit.requests", { requests: 0, perMs: 1_000 }],
  ["rateLimit.requests", { requests: 1.5, perMs: 1_000 }],
  ["rateLimit.requests", { requests: "5", perMs: 1_000 }],
  ["rateLimit.requests", { requests: 1_000_001, perMs: 1_000 }],
  ["rateLimit.requests", "50/s"],
  ["rateLimit.perMs", { requests: 1 }],
  ["rateLimit.perMs", { requests: 1, perMs: 0 }],
  ["rateLimit.perMs", { requests: 1, perMs: 86_400_001 }],
  ["rateLimit.key", { requests: 1, perMs: 1_000, key: "ip" }],
];

for (const [name, rateLimit] of WRONG) {
  Deno.test(`createProxy() refuses rateLimit ${JSON.stringify(rateLimit)} by name`, () => {
    assert.throws(
      () => createProxy({ backends: [A], rateLimit: rateLimit as undefined }),
      (error: Error) =>
        error.message.startsWith(`Cannot make a proxy: ${name} is `),
    );
  });
}

Deno.test("rateLimit refuses requests above the limit, and counts them", async () => {
  await using w = world(
    { rateLimit: { requests: 2, perMs: 10_000 } },
    () => Promise.resolve(new Response("ok")),
  );
  w.proxy.metrics();
  const status = async (client?: string) => {
    const answer = await w.ask("/", {}, client);
    await answer.text();
    return answer.status;
  };
  for (const wanted of [200, 200, 429, 429]) {
    assert.equal(await status("192.0.2.1"), wanted);
  }
  assert.equal(await status("192.0.2.2"), 200);
  // Requests that were made in code have no client.
  for (let i = 0; i < 5; i++) assert.equal(await status(), 200);
  assert.equal(w.metric("sluice_rate_limited_total"), 2);
  await w.clock.advance(5_000);
  assert.equal(await status("192.0.2.1"), 200);
  const refused = await w.ask("/", { method: "HEAD" }, "192.0.2.1");
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "5");
  assert.equal(refused.body, null);
});

Deno.test("maxInFlight auto counts a request until its header, its failure or its client's leaving", async () => {
  let bodies: ReadableStreamDefaultController<Uint8Array>[] = [];
  const answer: Record<string, Fetch> = {
    "/hang": hang,
    // A header at once, and a body that does not end.
    "/open": () =>
      Promise.resolve(
        new Response(
          new ReadableStream({ start: (body) => void bodies.push(body) }),
        ),
      ),
    "/fails": () => Promise.reject(new TypeError("reset")),
  };
  await using w = world(
    { maxInFlight: "auto", eject: false, retries: 0 },
    (url, signal) => answer[new URL(url).pathname]!(url, signal),
  );
  w.proxy.metrics();
  const waiting = () => w.metric("sluice_requests_waiting");
  assert.equal(w.metric("sluice_in_flight_limit"), 100);

  // Downloads: however many there are, none of them waits.
  const open = [];
  for (let i = 0; i < 150; i++) open.push(await w.ask("/open"));
  assert.equal(waiting(), 0);

  for (let i = 0; i < 5; i++) await (await w.ask("/fails")).text();
  assert.equal(waiting(), 0);

  // So many may come all at once.
  const clients = Array.from({ length: 200 }, () => new AbortController());
  const asked = clients.map(({ signal }) => w.ask("/hang", { signal }));
  await settle();
  assert.equal(waiting(), 200);
  const refused = await w.ask("/hang");
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("retry-after"), "1");
  assert.equal(
    refused.headers.get("proxy-status"),
    "sluice; error=connection_limit_reached",
  );
  await refused.text();
  assert.equal(w.metric("sluice_in_flight_refused_total"), 1);

  // A request has to last a moment before its client is listened for.
  await w.clock.advance(100);
  for (const client of clients) client.abort();
  for (const one of asked) assert.equal((await one).status, 499);
  assert.equal(waiting(), 0);

  for (const body of bodies) body.close();
  bodies = [];
  for (const one of open) await one.text();
});

Deno.test("maxInFlight auto does not count a request whose onError hook runs", async () => {
  // A slow hook took all places while the backends were idle.
  let done!: () => void;
  const hooked = new Promise<void>((resolve) => done = resolve);
  await using w = world(
    {
      maxInFlight: "auto",
      eject: false,
      retries: 0,
      onError: () => hooked,
    },
    () => Promise.reject(new TypeError("reset")),
  );
  w.proxy.metrics();
  const failed = Array.from({ length: 10 }, () => w.ask());
  await settle();
  assert.equal(w.metric("sluice_requests_waiting"), 0);
  done();
  for (const one of failed) assert.equal((await one).status, 502);
  assert.equal(w.metric("sluice_requests_waiting"), 0);
});

Deno.test("maxInFlight auto drops long polls, and keeps a hung backend from taking all places", async () => {
  let hung = false;
  const clients: AbortController[] = [];
  await using w = world(
    { backends: [A, B], maxInFlight: "auto", eject: false },
    (url, signal) =>
      hung && url.startsWith(A)
        ? hang(url, signal)
        : Promise.resolve(new Response("ok")),
  );
  w.proxy.metrics();
  const ask = () => {
    const client = new AbortController();
    clients.push(client);
    return w.ask("/", { signal: client.signal });
  };
  for (let i = 0; i < 200; i++) {
    await (await ask()).text();
    await w.clock.advance(10);
  }
  hung = true;
  const asked: Promise<void>[] = [];
  let refused = 0;
  for (let i = 0; i < 1_000; i++) {
    asked.push(
      ask().then(async (answer) => {
        await answer.text();
        if (answer.status === 503) refused++;
      }),
    );
    if (i % 10 === 9) await w.clock.advance(100);
  }
  assert.equal(refused, 0);
  assert.ok(w.metric("sluice_requests_waiting")! < 250);
  for (const client of clients) client.abort();
  await w.clock.advance(100);
  await Promise.all(asked);
  assert.equal(w.metric("sluice_requests_waiting"), 0);
});
