import assert from "node:assert/strict";
import { createProxy, serve } from "../mod.ts";
import {
  CERT,
  KEY,
  KEY_ENCRYPTED,
  OTHER_CERT,
  OTHER_KEY,
} from "../testing/certificates.ts";

/** Options that are right. */
const GOOD = {
  backends: ["http://a.test"],
  health: false,
  log: () => {},
} as const;

// The password was in the message, which ends up in logs and error trackers.
Deno.test("createProxy() shows no password and no key in what it throws", () => {
  const key = "hunter2";
  const wrong: Parameters<typeof createProxy>[0][] = [
    { backends: [`http://me:${key}@a.test`] },
    { backends: [`http://me:${key}/x@a.test`] },
    { backends: [`me:${key}@a.test`] },
    { backends: [`http://me:${key}@a.test weight=3`] },
    { backends: [{ url: `http://me:${key}@a.test/x` }] },
    { backends: [{ url: `https://me:${key}@a.test`, resolve: true }] },
    { ...GOOD, policy: `http://me:${key}@a.test` as "p2c" },
    { ...GOOD, health: { path: `health?key=${key}` } },
    { ...GOOD, health: { path: `/health?key=${key} x` } },
    { ...GOOD, health: { status: `http://me:${key}@a.test` } },
    { ...GOOD, trustedProxies: [`http://me:${key}@a.test`] },
    { ...GOOD, stickySecret: key },
    { ...GOOD, backendTls: { cert: CERT, key } },
  ];
  for (const options of wrong) {
    assert.throws(() => createProxy(options), (error) => {
      assert.ok(error instanceof TypeError, String(error));
      assert.doesNotMatch(error.message, /hunter/);
      assert.match(error.message, /^Cannot make a proxy: /);
      return true;
    });
  }
});

// A wrong client certificate was found by the first request.
Deno.test("createProxy() and serve() refuse certificates and keys that cannot be used", async () => {
  const cases: [
    tls: { cert?: string; key?: string; ca?: string },
    why: RegExp,
  ][] = [
    [
      { cert: CERT, key: OTHER_KEY },
      /tls\.key does not belong to .*tls\.cert/i,
    ],
    [{ cert: OTHER_CERT + CERT, key: KEY }, /tls\.key does not belong/i],
    [{ cert: CERT, key: KEY_ENCRYPTED }, /tls\.key contains an encrypted key/i],
    [{ cert: CERT }, /tls\.key is missing: set both/i],
    [{ key: KEY }, /tls\.cert is missing: set both/i],
    [{ cert: "", key: KEY }, /tls\.cert contains no PEM/i],
    [{ ca: CERT.slice(0, 200) }, /tls\.ca contains a certificate that cannot/i],
    [{ ca: KEY }, /tls\.ca contains no PEM/i],
  ];
  for (const [backendTls, why] of cases) {
    assert.throws(() => createProxy({ ...GOOD, backendTls }), why);
  }
  await using proxy = createProxy({
    ...GOOD,
    backendTls: { ca: CERT, cert: CERT, key: KEY },
  });
  assert.throws(
    () => serve(proxy, { port: 0, tls: { cert: CERT, key: OTHER_KEY } }),
    /^TypeError: Cannot serve: tls\.key does not belong/,
  );
});

Deno.test("serve() refuses a backend that is the proxy or its admin port", async () => {
  const cases: [backend: string, why: RegExp][] = [
    ["http://127.0.0.1:18081", /"http:\/\/127\.0\.0\.1:18081" is this proxy$/],
    ["http://localhost:18082", /is this proxy's admin port$/],
  ];
  for (const [backend, why] of cases) {
    await using proxy = createProxy({ ...GOOD, backends: [backend] });
    assert.throws(
      () =>
        serve(proxy, {
          port: 18081,
          host: "127.0.0.1",
          admin: { port: 18082 },
        }),
      why,
    );
  }
});
