/**
 * The pool of a proxy in a program of one's own: names, functions, and what
 * probes are told to say.
 */

import assert from "node:assert/strict";
import { createProxy, type ProxyOptions } from "../mod.ts";
import { FakeClock } from "../testing/clock.ts";

const A = "http://10.0.0.1:3000";
const B = "http://10.0.0.2:3000";

/** A proxy whose `fetch` never leaves it; `status` is what each URL answers. */
function proxyOf(
  options: Partial<ProxyOptions>,
  status: (url: string) => number = () => 200,
) {
  const clock = new FakeClock(1_000);
  const lines: string[] = [];
  const access: string[] = [];
  const probes: { url: string; host: string | null }[] = [];
  const proxy = createProxy({
    backends: [A],
    clock,
    log: (line) => lines.push(line),
    logAccess: (line) => access.push(line),
    random: () => 0.5,
    fetch: (input, init) => {
      const url = String(input);
      const host = new Headers(init?.headers).get("host");
      if (url.endsWith("/health")) probes.push({ url, host });
      return Promise.resolve(new Response("ok", { status: status(url) }));
    },
    ...options,
  });
  const ask = async () => {
    const response = await proxy.fetch(new Request("http://sluice.test/"));
    return await response.text();
  };
  return { clock, lines, access, probes, proxy, ask };
}

Deno.test("createProxy() calls a backend by its name in every line", async () => {
  // The option was documented, and ignored for backends with a URL.
  let well = true;
  const { proxy, clock, lines, access, ask } = proxyOf({
    backends: [{ url: A, name: "one" }, { url: B, name: "two" }],
    accessLog: "json",
    eject: { after: 1, timeMs: 1_000 },
    health: { path: "/health", fall: 1, rise: 1 },
  }, (url) => url.startsWith(B) && !well ? 503 : 200);
  await proxy.ready;
  await ask();
  await ask();
  assert.deepEqual(
    access.map((line) => JSON.parse(line).backend).sort(),
    ["one", "two"],
  );
  well = false;
  await ask();
  await ask();
  await clock.advance(1_200);
  await clock.advance(10_000);
  well = true;
  await clock.advance(10_000);
  assert.deepEqual(lines.map((line) => line.replace(/ for .*| \(.*/, "")), [
    "backend two is ejected",
    "backend two is back after its ejection",
    "backend two is down",
    "backend two is up",
  ]);
  assert.match(proxy.metrics(), /^sluice_backend_up\{backend="one"\} 1$/m);
  assert.equal(proxy.pool.get("two")!.url, B);
  await proxy.stop();
});

Deno.test("createProxy() refuses an invalid name, and one in use", async () => {
  const made = (...backends: ProxyOptions["backends"]) =>
    proxyOf({ backends, health: false }).proxy;
  for (const name of ["", "a b", "a,b", "a/b", 'a"b', "ü", "x".repeat(65)]) {
    assert.throws(
      () => made({ url: A, name }),
      /^TypeError: Cannot make a proxy: backends\[0\]\.name .* is not a name/,
    );
    assert.throws(
      () => made({ answer: () => new Response(), name }),
      TypeError,
    );
  }
  assert.throws(
    () => made({ url: A, name: "x" }, { url: B, name: "x" }),
    /^RangeError: Cannot add "http:\/\/10\.0\.0\.2:3000": ".*1:3000" is called/,
  );
  const proxy = made({ url: A, name: "x" });
  assert.throws(() => proxy.pool.add({ url: B, name: "x" }), RangeError);
  assert.throws(() => proxy.pool.add({ url: B, name: "a b" }), TypeError);
  assert.equal(proxy.pool.add({ url: B, name: "y" }).label, "y");
  await proxy.stop();
});

Deno.test("createProxy() uses a function's own name, or the configured one", async () => {
  function page() {
    return new Response();
  }
  Object.defineProperty(page, "name", { value: "a\nforged line" });
  const { proxy } = proxyOf({
    backends: [
      page,
      { answer: () => new Response(), name: "spare" },
      () => new Response(),
    ],
    health: false,
  });
  assert.deepEqual(proxy.pool.backends.map(({ label }) => label), [
    "function:a_forged_line-0",
    "spare",
    "function:anonymous-2",
  ]);
  await proxy.stop();
});

Deno.test("pool.replace() keeps the functions that a proxy has, with their state", async () => {
  // Each call replaced them by others of the same kind, at work as they were.
  const gate = Promise.withResolvers<void>();
  const page = async () => {
    await gate.promise;
    return new Response("page");
  };
  const spare = () => new Response("spare");
  const { proxy, ask } = proxyOf({
    backends: [page, { answer: spare, backup: true, name: "spare" }],
    health: false,
  });
  const [first, second] = proxy.pool.backends;
  const answer = ask();
  assert.equal(first!.inFlight, 1);
  const list = [page, { answer: spare, backup: true, name: "spare" }];
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(proxy.pool.replace(list), {
      added: 0,
      removed: 0,
      changed: 0,
    });
  }
  assert.deepEqual(proxy.pool.backends, [first, second]);
  assert.deepEqual(proxy.pool.replace([{ answer: page, weight: 3 }, A]), {
    added: 1,
    removed: 1,
    changed: 1,
  });
  assert.equal(first!.weight, 3);
  assert.equal(first!.inFlight, 1);
  gate.resolve();
  assert.equal(await answer, "page");
  assert.equal(first!.inFlight, 0);
  await proxy.stop();
});

Deno.test("pool.add() takes a function with its settings", async () => {
  const { proxy, ask } = proxyOf({ health: false });
  const added = proxy.pool.add({
    answer: () => new Response("added"),
    name: "mine",
    weight: 1,
  });
  assert.equal(added.label, "mine");
  assert.deepEqual([await ask(), await ask()].sort(), ["added", "ok"]);
  await proxy.stop();
});

Deno.test("health.host is the Host of probes, with a custom fetch too", async () => {
  for (
    const [host, said] of [
      [undefined, "10.0.0.1:3000"],
      ["app.example.com", "app.example.com"],
      ["App.Example.com:8443", "app.example.com:8443"],
      ["[2001:db8::1]:80", "[2001:db8::1]:80"],
    ] as const
  ) {
    const { proxy, probes } = proxyOf({ health: { host } });
    await proxy.ready;
    assert.deepEqual(probes, [{ url: `${A}/health`, host: said }]);
    await proxy.stop();
  }
  for (const host of ["", "http://a", "a b", "a:99999", "a/b", "a\r\nx: y"]) {
    assert.throws(
      () => proxyOf({ health: { host } }),
      /^TypeError: Cannot make a proxy: health\.host /,
      host,
    );
  }
});

Deno.test("stop() while a name is looked up: no probe is sent, and no timer is left", async () => {
  const { proxy, clock, probes } = proxyOf({
    backends: [A, { url: "http://app.test:3000", resolve: true }],
    lookup: () => new Promise(() => {}),
  });
  await proxy.stop();
  await proxy.ready;
  await clock.advance(60_000);
  assert.deepEqual(probes, []);
  assert.equal(clock.pending, 0);
});
