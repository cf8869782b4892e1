import assert from "node:assert/strict"; // built in to both runtimes
import { ADMIN_ENV, TOKEN } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

const ID = "0af7651916cd43dd8448eb211c80319c";
const PARENT = `00-${ID}-b7ad6b7169203331-00`;

forBoth(
  "without TRACE, traceparent and tracestate pass untouched",
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    for (const value of [PARENT, "whatever, it says"]) {
      await rawRequest(
        proxy.port,
        requestText("GET", "/", {
          headers: { traceparent: value, tracestate: "v=1, w=2" },
        }),
      );
    }
    await rawRequest(proxy.port, requestText("GET", "/"));
    const [one, two, none] = backend.requests;
    assert.deepEqual(one!.headerAll("traceparent"), [PARENT]);
    assert.deepEqual(two!.headerAll("traceparent"), ["whatever, it says"]);
    assert.equal(one!.header("tracestate"), "v=1, w=2");
    assert.deepEqual(none!.headerAll("traceparent"), []);
  },
);

forBoth(
  "TRACE=on continues or starts a trace, and each attempt is a separate span",
  async (runtime) => {
    await using broken = await rawBackend((conn) => conn.reset());
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${broken.url},${backend.url}`,
        TRACE: "on",
        ACCESS_LOG: "json",
        EJECT_AFTER: "off",
      },
    });
    for (let i = 0; i < 2; i++) {
      await rawRequest(
        proxy.port,
        requestText("GET", `/kept${i}`, {
          headers: { traceparent: PARENT, tracestate: "v=1" },
        }),
      );
      await rawRequest(
        proxy.port,
        requestText("GET", `/begun${i}`, {
          headers: { traceparent: "broken", tracestate: "v=1" },
        }),
      );
    }
    await until(() => proxy.stdout.length >= 4);
    const lines = proxy.stdout.map((line) => JSON.parse(line));
    let retried = 0;
    for (const line of lines) {
      const kept = line.target.startsWith("/kept");
      if (kept) assert.equal(line.traceId, ID);
      else assert.match(line.traceId, /^(?!0{32})[0-9a-f]{32}$/);
      const spans = line.attempts.map((a: { spanId: string }) => a.spanId);
      assert.equal(new Set(spans).size, spans.length);
      if (spans.length > 1) retried++;
      const got = [...broken.requests, ...backend.requests]
        .filter(({ target }) => target === line.target);
      // A runtime may send one attempt twice by itself, with the same span.
      assert.deepEqual(
        new Set(got.map((request) => request.headerAll("traceparent").join())),
        new Set(
          spans.map((span: string) =>
            `00-${line.traceId}-${span}-${kept ? "00" : "01"}`
          ),
        ),
      );
      for (const request of got) {
        assert.equal(request.header("tracestate"), kept ? "v=1" : undefined);
      }
    }
    assert.ok(retried > 0, "some request was tried twice");
  },
);

// Behind a trusted proxy any value of the field was accepted: all its clients
// could read the addresses and the states of the backends.
forBoth(
  "Sluice-Debug is answered only with the token, and reaches no backend",
  async (runtime) => {
    await using dead = await rawBackend();
    await using backend = await rawBackend((conn) =>
      conn.reply({ headers: { "Server-Timing": "db;dur=1" } })
    );
    const env = {
      BACKENDS: `${dead.url},${backend.url}`,
      HEALTH_PATH: "off",
      EJECT_AFTER: "off",
      ...ADMIN_ENV,
    };
    await using proxy = await startProxy(runtime, { env });
    await using trusting = await startProxy(runtime, {
      env: { ...env, TRUSTED_PROXIES: "loopback" },
    });
    await dead.kill();
    const ask = async (
      port: number,
      value: string,
      more: Record<string, string> = {},
    ) =>
      (await rawRequest(
        port,
        requestText("POST", "/", {
          headers: { "Sluice-Debug": value, ...more },
        }),
      )).headerAll("server-timing").join(", ");
    for (const { port } of [proxy, trusting]) {
      for (const value of ["1", "on", `${TOKEN}x`, TOKEN.slice(1), ""]) {
        for (const client of [{}, { "X-Forwarded-For": "203.0.113.66" }]) {
          assert.equal(await ask(port, value, client), "db;dur=1");
        }
      }
    }
    for (const { port } of [proxy, trusting]) {
      const seen: string[] = [];
      // One of two goes to the dead backend first.
      for (let i = 0; i < 2; i++) seen.push(await ask(port, TOKEN));
      for (const text of seen) {
        assert.match(
          text,
          /^db;dur=1, sluice;dur=[\d.]+;desc="policy round_robin", attempt;/,
        );
        assert.ok(text.includes(`desc="${backend.url}: 200"`), text);
      }
      assert.ok(
        seen.some((text) =>
          text.includes(`desc="${dead.url}: connection refused"`)
        ),
        seen.join("\n"),
      );
    }
    for (const request of backend.requests) {
      assert.equal(request.header("sluice-debug"), undefined);
    }
  },
);
