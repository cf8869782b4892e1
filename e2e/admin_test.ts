import assert from "node:assert/strict"; // built in to both runtimes
import {
  ADMIN_ENV,
  adminUrl,
  EventReader,
  portOf,
  TOKEN,
} from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

const AUTH = { authorization: `Bearer ${TOKEN}` };

/** One call, with its body read. */
async function call(
  url: string,
  method = "GET",
  body?: unknown,
  headers: Record<string, string> = AUTH,
) {
  const response = await fetch(url, {
    method,
    headers,
    body: body === undefined
      ? null
      : typeof body === "string"
      ? body
      : JSON.stringify(body),
  });
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: type.startsWith("application/json") ? JSON.parse(text) : undefined,
  };
}

forBoth(
  "the admin API lists, adds, changes and removes backends",
  async (runtime) => {
    await using first = await rawBackend((conn) =>
      conn.reply({ body: "first" })
    );
    await using second = await rawBackend((conn) =>
      conn.reply({ body: "second" })
    );
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: first.url,
        HEALTH_INTERVAL: "500ms",
        HEALTH_TIMEOUT: "490ms",
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    const { json: { backends: [one] } } = await call(
      `${admin}/backends`,
      "GET",
      undefined,
      {},
    );
    assert.equal(one.url, first.url);
    assert.equal(one.state, "up");
    assert.equal(one.weight, 1);
    assert.equal(one.inFlight, 0);
    assert.equal(one.probe.status, 200);

    const added = await call(`${admin}/backends`, "POST", {
      url: `${second.url}/`,
      weight: 3,
    });
    assert.equal(added.status, 201, added.text);
    assert.equal(added.json.url, second.url);
    assert.equal(added.json.weight, 3);
    const place = added.headers.get("location")!;
    assert.equal(place, `/backends/${added.json.id}`);
    await until(async () => (await call(admin + place)).json.up, {
      what: "the new backend to be up",
    });

    // All of it goes to the second while the first drains.
    const drained = await call(`${admin}/backends/${one.id}`, "PATCH", {
      draining: true,
    });
    assert.equal(drained.status, 200);
    assert.equal(drained.json.state, "draining");
    for (let i = 0; i < 4; i++) {
      const { text } = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(text, "second");
    }

    const changed = await call(admin + place, "PATCH", { weight: 0 });
    assert.equal(changed.json.state, "resting");
    await call(`${admin}/backends/${one.id}`, "PATCH", { draining: false });
    const { text } = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(text, "first");

    const removed = await call(admin + place, "DELETE");
    assert.equal(removed.status, 204);
    assert.equal((await call(admin + place)).status, 404);
    assert.equal((await call(`${admin}/backends`)).json.backends.length, 1);
    await proxy.waitForLine(/was removed by the admin API/);
  },
);

forBoth(
  "the admin API refuses what is wrong with a sentence",
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, ...ADMIN_ENV },
    });
    const admin = await adminUrl(proxy);
    const { json: { backends: [{ id }] } } = await call(`${admin}/backends`);
    const one = `${admin}/backends/${id}`;
    const wrong: [string, string, unknown, number, RegExp][] = [
      ["POST", "/backends", "{", 400, /not JSON/],
      ["POST", "/backends", "[]", 400, /not a JSON object/],
      ["POST", "/backends", "null", 400, /not a JSON object/],
      ["POST", "/backends", "\xff", 400, /not JSON/],
      ["POST", "/backends", {}, 400, /"url" is missing/],
      ["POST", "/backends", { url: 1 }, 400, /"url" is not a text/],
      ["POST", "/backends", { url: "ftp://x" }, 400, /an unsupported scheme/],
      ["POST", "/backends", { url: "http://u:p@x" }, 400, /credentials/],
      ["POST", "/backends", { url: proxy.url }, 400, /is this proxy/],
      ["POST", "/backends", { url: backend.url }, 409, /already/],
      [
        "POST",
        "/backends",
        { url: "http://x", weigth: 1 },
        400,
        /no field "weigth"/,
      ],
      ["POST", "/backends", '{"__proto__": 1}', 400, /no field/],
      [
        "POST",
        "/backends",
        { url: "http://x", weight: 1.5 },
        400,
        /whole number/,
      ],
      [
        "POST",
        "/backends",
        { url: "http://x", weight: "1" },
        400,
        /whole number/,
      ],
      [
        "POST",
        "/backends",
        { url: "http://x", backup: 1 },
        400,
        /true or false/,
      ],
      ["POST", "/backends", " ".repeat(20_000), 413, /over 16384 bytes/],
      ["PATCH", `/backends/${id}`, {}, 400, /Nothing to change/],
      ["PATCH", `/backends/${id}`, { weight: -1 }, 400, /0 to 1000/],
      ["PATCH", `/backends/${id}`, { weight: 1001 }, 400, /0 to 1000/],
      ["PATCH", `/backends/${id}`, { draining: "yes" }, 400, /true or false/],
      ["PATCH", `/backends/${id}`, { url: "http://x" }, 400, /no field "url"/],
      ["PATCH", "/backends/nobody", { weight: 1 }, 404, /no backend/],
      ["DELETE", "/backends/nobody", undefined, 404, /no backend/],
      ["DELETE", "/backends", undefined, 405, /GET, HEAD, POST/],
      ["POST", "/metrics", {}, 405, /GET, HEAD/],
      ["OPTIONS", "/backends", undefined, 405, /GET/],
      ["GET", "/nothing", undefined, 404, /no such path/],
      ["GET", "/backends/a/b", undefined, 404, /no such path/],
    ];
    for (const [method, path, body, status, sentence] of wrong) {
      const answer = await call(admin + path, method, body);
      const what = `${method} ${path} ${JSON.stringify(body)}`.slice(0, 80);
      assert.equal(answer.status, status, `${what}: ${answer.text}`);
      assert.match(answer.json.error, sentence, what);
      assert.equal(answer.headers.get("access-control-allow-origin"), null);
    }
    const { json } = await call(one);
    assert.equal(json.weight, 1);
    assert.equal(json.draining, false);
  },
);

forBoth("the admin API changes nothing without the token", async (runtime) => {
  await using backend = await rawBackend();
  await using open = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ADMIN_PORT: "0" },
  });
  await using locked = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...ADMIN_ENV },
  });
  for (
    const [proxy, status, headers] of [
      [open, 403, AUTH],
      [locked, 401, {}],
      [locked, 401, { authorization: TOKEN }],
      [locked, 401, { authorization: `Bearer ${TOKEN}x` }],
      [locked, 401, { authorization: `Basic ${btoa(TOKEN)}` }],
      [locked, 401, { authorization: `Bearer ${TOKEN} ${TOKEN}` }],
    ] as const
  ) {
    const admin = await adminUrl(proxy);
    const { json: { backends: [{ id }] } } = await call(`${admin}/backends`);
    for (
      const [method, path, body] of [
        ["POST", "/backends", { url: "http://127.0.0.1:9" }],
        ["PATCH", `/backends/${id}`, { draining: true }],
        ["DELETE", `/backends/${id}`, undefined],
      ] as const
    ) {
      const answer = await call(admin + path, method, body, headers);
      assert.equal(answer.status, status);
      assert.ok(answer.json.error.length > 20);
      assert.equal(
        answer.headers.has("www-authenticate"),
        status === 401,
      );
    }
    const { json: { backends } } = await call(`${admin}/backends`);
    assert.equal(backends.length, 1);
    assert.equal(backends[0].draining, false);
  }
});

forBoth(
  "the admin port refuses host names, against DNS rebinding",
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, ADMIN_HOST: "localhost", ...ADMIN_ENV },
    });
    const port = portOf(await adminUrl(proxy));
    const host = "localhost";
    const ask = async (target: string, name: string) =>
      (await rawRequest(
        port,
        requestText("GET", target, {
          host: name,
          headers: { Connection: "close" },
        }),
        { host },
      )).status;
    for (const target of ["/", "/backends"]) {
      for (
        const name of [
          "127.0.0.1",
          `127.0.0.1:${port}`,
          "[::1]",
          `[::1]:${port}`,
          "localhost",
          `LOCALHOST:${port}`,
        ]
      ) assert.equal(await ask(target, name), 200, `${target} ${name}`);
    }
    for (const target of ["/", "/backends", "/backends/x", "/events"]) {
      for (
        const name of [
          "evil.example",
          "localhost.evil.example",
          "127.0.0.1.evil.example",
          "evil.example:80",
          "0x7f.1",
        ]
      ) assert.equal(await ask(target, name), 421, `${target} ${name}`);
    }
    for (const target of ["/metrics", "/livez", "/readyz"]) {
      assert.equal(await ask(target, "prometheus.example"), 421, target);
    }
  },
);

forBoth(
  "/readyz is 503 without an available backend and while draining; /livez is not",
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, DRAIN_DELAY: "60s", ...ADMIN_ENV },
    });
    const admin = await adminUrl(proxy);
    const { json: { backends: [{ id }] } } = await call(`${admin}/backends`);
    assert.equal((await call(`${admin}/readyz`)).status, 200);
    await call(`${admin}/backends/${id}`, "PATCH", { draining: true });
    const none = await call(`${admin}/readyz`);
    assert.equal(none.status, 503);
    assert.match(none.text, /no backend/);
    await call(`${admin}/backends/${id}`, "PATCH", { draining: false });
    assert.equal((await call(`${admin}/readyz`)).status, 200);
    proxy.signal("SIGTERM");
    await until(async () => (await call(`${admin}/readyz`)).status === 503);
    assert.match((await call(`${admin}/readyz`)).text, /draining/);
    assert.equal((await call(`${admin}/livez`)).status, 200);
    // Not ready, but still serving: that is the purpose of the delay.
    const answer = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(answer.status, 200);
  },
);

forBoth(
  "/events sends each change once, also after a reconnect",
  async (runtime) => {
    await using backend = await rawBackend();
    await using other = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${backend.url},${other.url}`,
        HEALTH_INTERVAL: "500ms",
        HEALTH_TIMEOUT: "490ms",
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    const { json: { backends: [{ id }] } } = await call(`${admin}/backends`);
    let last: string;
    {
      await using events = await EventReader.open(`${admin}/events`);
      assert.equal(
        events.response.headers.get("content-type"),
        "text/event-stream",
      );
      const figures = await events.next("figures");
      assert.equal(figures.id, undefined);
      assert.equal(figures.data.inFlight, 0);
      assert.equal(figures.data.backends[id].requestsPerSecond, 0);

      backend.health = 500;
      const down = await events.next();
      assert.equal(down.type, "down");
      assert.equal(down.data.backend.id, id);
      assert.equal(down.data.backend.state, "down");
      assert.match(down.data.reason, /status 500/);
      assert.ok(Math.abs(Date.parse(down.data.time) - Date.now()) < 60_000);
      last = down.id!;
    }
    // Away: a change of weight, a drain, and an end of it.
    await call(`${admin}/backends/${id}`, "PATCH", { weight: 7 });
    await call(`${admin}/backends/${id}`, "PATCH", { draining: true });
    {
      await using events = await EventReader.open(`${admin}/events`, {
        "last-event-id": last,
      });
      const changed = await events.next();
      assert.equal(changed.type, "changed");
      assert.equal(changed.data.backend.weight, 7);
      const draining = await events.next();
      assert.equal(draining.type, "draining");
      assert.notEqual(draining.id, changed.id);
      await call(`${admin}/backends/${id}`, "DELETE");
      assert.equal((await events.next()).type, "removed");
    }
    {
      // An id of another run is unknown: all remembered events are sent.
      await using events = await EventReader.open(
        `${admin}/events?figures=off`,
        {
          "last-event-id": "zzz-5",
        },
      );
      assert.equal((await events.next()).type, "down");
    }
  },
);

forBoth(
  "an event stream that is not read delays nothing",
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, ...ADMIN_ENV },
    });
    const admin = await adminUrl(proxy);
    const abort = new AbortController();
    const silent = await fetch(`${admin}/events`, { signal: abort.signal });
    const { json: { backends: [{ id }] } } = await call(`${admin}/backends`);
    for (let i = 1; i <= 200; i++) {
      const { status } = await call(`${admin}/backends/${id}`, "PATCH", {
        weight: i,
      });
      assert.equal(status, 200);
    }
    const answer = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(answer.status, 200);
    proxy.signal("SIGTERM");
    assert.equal((await proxy.waitForExit()).code, 0);
    abort.abort();
    await silent.body?.cancel().catch(() => {});
  },
);
