/**
 * A user's policy, key and health check, and what is refused.
 */

import assert from "node:assert/strict";
import type { Backend, Policy, ProxyOptions } from "../mod.ts";
import { A, B, FAILING, never, proxyOf, URL_ } from "../testing/hooked.ts";

for (
  const [how, fail] of [
    ...FAILING.slice(0, 4),
    ["never ends", never] as [string, () => never],
  ]
) {
  Deno.test(`key() that ${how} falls back to round robin`, async () => {
    const used = proxyOf({
      backends: [A, B],
      policy: "uri_hash",
      key: fail as unknown as () => string,
    });
    for (let i = 0; i < 4; i++) assert.equal((await used.ask()).status, 200);
    assert.equal(used.sent.filter(({ url }) => url.startsWith(A)).length, 2);
    assert.equal(used.lines.length, 1, String(used.lines));
    assert.match(used.lines[0]!, /key failed/);
    await used.proxy.stop();
  });

  Deno.test(`policy() that ${how} falls back to round robin`, async () => {
    const used = proxyOf({
      backends: [A, B],
      policy: fail as unknown as Policy,
    });
    for (let i = 0; i < 4; i++) assert.equal((await used.ask()).status, 200);
    assert.equal(used.sent.filter(({ url }) => url.startsWith(A)).length, 2);
    assert.equal(used.lines.length, 1, String(used.lines));
    assert.match(used.lines[0]!, /policy failed/);
    await used.proxy.stop();
  });
}

Deno.test("key() replaces the policy's own key, and gets the request", async () => {
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
  assert.ok(used.proxy.pool.backends.every(({ latencyMs }) => latencyMs >= 0));
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
    assert.match(used.lines[0]!, /policy failed .*may pick/);
    await used.proxy.stop();
  }
});

Deno.test("health.check() replaces the probe, and its text is the reason", async () => {
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

Deno.test("health.headers and health.method are sent by probes", async () => {
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
    [/ignore health.path: remove one$/, {
      health: { check: () => true, path: "/" },
    }],
    [/ignore health.headers: remove one$/, {
      health: { check: () => true, headers: {} },
    }],
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
