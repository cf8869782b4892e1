/**
 * `name=`: a backend is shown by its name everywhere, and names are unique. And
 * two backends whose URLs have the same hash are kept apart everywhere.
 *
 * @module
 */

import assert from "node:assert/strict";
import { hash } from "../balancer.ts";
import { ADMIN_ENV, adminUrl, EventReader, TOKEN } from "./harness/admin.ts";
import { startBrowser } from "./harness/browser.ts";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { startWorkers } from "./harness/workers.ts";

const QUICK = { HEALTH_INTERVAL: "300ms", HEALTH_TIMEOUT: "290ms" };
const LONG = 20_000;

/** A backend that returns its letter. */
const lettered = (letter: string) =>
  rawBackend((conn) => conn.reply({ body: letter }));

/** Calls the admin port; returns the status and the body. */
async function call(url: string, method = "GET", body?: unknown) {
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${TOKEN}` },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await response.text();
  const json = /json/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    text,
    json: json ? JSON.parse(text) : undefined,
  };
}

/** The `backend` labels of one metric. */
async function labels(admin: string, metric: string): Promise<string[]> {
  const { text } = await call(`${admin}/metrics`);
  const lines = text.split("\n").filter((l) => l.startsWith(`${metric}{`));
  return lines.map((line) => /backend="([^"]*)"/.exec(line)![1]!).sort();
}

forBoth(
  "a name is in the log, the access log, metrics, events and responses",
  {
    timeoutMs: 60_000,
  },
  async (runtime) => {
    await using a = await lettered("a");
    await using b = await lettered("b");
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${a.url} name=web-1 weight=2,${b.url}`,
        ACCESS_LOG: "json",
        EJECT_AFTER: "1",
        ...QUICK,
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    const { json: { backends } } = await call(`${admin}/backends`);
    assert.deepEqual(
      backends.map(({ url, name }: { url: string; name: unknown }) => [
        url,
        name,
      ]),
      [[a.url, "web-1"], [b.url, null]],
    );

    // Round robin starts at a random backend: one of two requests is the
    // first's.
    const ask = () =>
      rawRequest(
        proxy.port,
        requestText("GET", "/", { headers: { "Sluice-Debug": TOKEN } }),
      );
    const both = [await ask(), await ask()];
    const first = both.findIndex(({ text }) => text === "a");
    const asked = both[first]!;
    assert.match(asked.header("server-timing") ?? "", /desc="web-1: 200"/);
    const lines = await proxy.waitForLines(/^\{"time"/, 2);
    const logged = JSON.parse(lines[first]!);
    assert.equal(logged.backend, "web-1");
    assert.equal(logged.attempts[0].backend, "web-1");

    for (const metric of ["sluice_backend_up", "sluice_backend_weight"]) {
      assert.deepEqual(await labels(admin, metric), [b.url, "web-1"]);
    }

    await a.kill();
    // Two requests come to each of them.
    for (let i = 0; i < 3; i++) {
      await rawRequest(proxy.port, requestText("GET", "/"));
    }
    await proxy.waitForLine(/backend web-1 is ejected/, LONG);
    await proxy.waitForLine(/backend web-1 is down/, LONG);
    {
      await using events = await EventReader.open(
        `${admin}/events?figures=off`,
        { "last-event-id": "from the first one on" },
      );
      const { data } = await events.next("down");
      assert.equal(data.backend.name, "web-1");
    }
    assert.doesNotMatch(
      proxy.stderr.filter((line) => /is down|is ejected/.test(line)).join("\n"),
      new RegExp(a.url),
    );
    await a.restart();
    await proxy.waitForLine(/backend web-1 is up/, LONG);
  },
);

forBoth(
  "the admin API adds a backend by name, and refuses a name in use",
  async (
    runtime,
  ) => {
    await using a = await lettered("a");
    await using b = await lettered("b");
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: `${a.url} name=web-1`, ...ADMIN_ENV },
    });
    const admin = await adminUrl(proxy);
    const add = (body: unknown) => call(`${admin}/backends`, "POST", body);
    const taken = await add({ url: b.url, name: "web-1" });
    assert.equal(taken.status, 409, taken.text);
    assert.match(taken.json.error, /"web-1"/);
    for (const name of ["a b", 'a"b', "", "x".repeat(65), 7, "a/b"]) {
      const { status, text } = await add({ url: b.url, name });
      assert.equal(status, 400, text);
      assert.match(
        text,
        /\\"name\\" is (?:not a name: write 1 to 64|not a text)/,
      );
    }
    const { status, json } = await add({ url: b.url, name: "web-2" });
    assert.equal(status, 201);
    assert.equal(json.name, "web-2");
    await proxy.waitForLine(/backend web-2 was added/);
    assert.deepEqual(await labels(admin, "sluice_backend_up"), [
      "web-1",
      "web-2",
    ]);
  },
);

forBoth("a name that moves to another backend is never on two at once", {
  timeoutMs: 60_000,
}, async (runtime) => {
  // While a reload waits for the first probe of a new backend, old and new
  // exist together: with one name for both, a series would occur twice, and
  // Prometheus rejects the whole page.
  await using a = await lettered("a");
  await using b = await lettered("b");
  const folder = await Deno.makeTempDir({ prefix: "sluice-" });
  const file = `${folder}/backends`;
  await Deno.writeTextFile(file, `${a.url} name=web`);
  try {
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS_FILE: file, ...QUICK, ...ADMIN_ENV },
      permissions: [`--allow-read=${folder}`],
    });
    const admin = await adminUrl(proxy);
    const gate = Promise.withResolvers<void>();
    b.health = async (conn) => {
      await gate.promise;
      await conn.reply();
    };
    await Deno.writeTextFile(file, `${b.url} name=web`);
    proxy.signal("SIGHUP");
    await until(async () =>
      (await labels(admin, "sluice_backend_up")).length === 2
    );
    assert.deepEqual(await labels(admin, "sluice_backend_up"), [a.url, "web"]);
    gate.resolve();
    await proxy.waitForLine(/BACKENDS_FILE read: 1 backend/, LONG);
    assert.deepEqual(await labels(admin, "sluice_backend_up"), ["web"]);
    // Another name for the same backend is a change and nothing more.
    await Deno.writeTextFile(file, `${b.url} name=other`);
    proxy.signal("SIGHUP");
    await proxy.waitForLine(/0 added, 0 removed, 1 changed/, LONG);
    assert.deepEqual(await labels(admin, "sluice_backend_up"), ["other"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

forBoth("WORKERS: all of them call a backend by its name", {
  timeoutMs: 60_000,
}, async (runtime) => {
  await using a = await lettered("a");
  await using b = await lettered("b");
  await using proxy = await startWorkers(runtime, {
    env: {
      BACKENDS: `${a.url} name=one,${b.url} name=two`,
      ACCESS_LOG: "json",
      ...ADMIN_ENV,
    },
  });
  const admin = await adminUrl(proxy);
  for (let i = 0; i < 12; i++) {
    await rawRequest(proxy.port, requestText("GET", "/"));
  }
  const lines = await proxy.waitForLines(/^\{"time"/, 12);
  const named = new Set(lines.map((line) => JSON.parse(line).backend));
  assert.deepEqual([...named].sort(), ["one", "two"]);
  await until(async () =>
    (await labels(admin, "sluice_backend_requests_total")).join() === "one,two"
  );
});

/**
 * Two backends, on 127.0.0.0/8, whose URLs have the same FNV-1a hash (32 bits).
 */
async function twins(): Promise<[RawBackend, RawBackend]> {
  const upTo = (most: number) => 1 + Math.floor(Math.random() * most);
  const seen = new Map<number, { host: string; port: number }>();
  // Some 70,000 are enough, as with birthdays.
  for (;;) {
    const host = `127.${upTo(250)}.${upTo(250)}.${upTo(250)}`;
    const place = { host, port: 20_000 + upTo(12_000) };
    const of = hash(`http://${host}:${place.port}`);
    const other = seen.get(of);
    seen.set(of, place);
    if (other === undefined || other.host === host) continue;
    const start = (body: string, at: typeof place) =>
      rawBackend((conn) => conn.reply({ body }), at);
    return [await start("first", other), await start("second", place)];
  }
}

forBoth(
  "two backends whose URLs have the same hash share neither metrics nor sessions",
  {
    ...(Deno.build.os === "linux"
      ? {}
      : { skip: "127.0.0.2 is no address here" }),
    timeoutMs: 60_000,
  },
  async (runtime) => {
    const [first, second] = await twins();
    assert.equal(hash(first.url), hash(second.url));
    await using _first = first;
    await using _second = second;
    for (const start of [startProxy, startWorkers]) {
      await using proxy = await start(runtime, {
        env: {
          BACKENDS: `${first.url},${second.url}`,
          POLICY: "sticky:session",
          ...ADMIN_ENV,
        },
      });
      const admin = await adminUrl(proxy);
      const { json: { backends } } = await call(`${admin}/backends`);
      const ids: string[] = backends.map(({ id }: { id: string }) => id);
      assert.notEqual(ids[0], ids[1]);

      // Each session stays on its backend.
      for (let session = 0; session < 4; session++) {
        const begun = await rawRequest(proxy.port, requestText("GET", "/"));
        const cookie =
          /^session=[^;]*/.exec(begun.header("set-cookie") ?? "")![0];
        for (let i = 0; i < 3; i++) {
          const kept = await rawRequest(
            proxy.port,
            requestText("GET", "/", { headers: { Cookie: cookie } }),
          );
          assert.equal(kept.text, begun.text);
          assert.equal(kept.header("set-cookie"), undefined);
        }
      }
      // Each has its own figures, and its own path for changes.
      const counted = async () => {
        const { text } = await call(`${admin}/metrics`);
        return [first, second].map(({ url }) =>
          Number(
            text.split("\n").find((line) =>
              line.startsWith(
                `sluice_backend_requests_total{backend="${url}",code="200"}`,
              )
            )?.split(" ")[1] ?? 0,
          )
        );
      };
      await until(async () => (await counted()).reduce((a, b) => a + b) === 16);
      await call(`${admin}/backends/${ids[1]}`, "PATCH", { draining: true });
      const { json } = await call(`${admin}/backends`);
      assert.deepEqual(
        json.backends.map(({ draining }: { draining: boolean }) => draining),
        [false, true],
      );
      await until(async () => {
        const texts = new Set<string>();
        for (let i = 0; i < 4; i++) {
          texts.add(
            (await rawRequest(proxy.port, requestText("GET", "/"))).text,
          );
        }
        return texts.size === 1 && texts.has("first");
      });
    }
  },
);

forBoth(
  "the dashboard calls a backend by its name, and finds it by its URL too",
  {
    ...skippedWithout("chromium", "chromedriver"),
    timeoutMs: 120_000,
  },
  async (runtime) => {
    await using a = await lettered("a");
    await using b = await lettered("b");
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${a.url} name=web-1,${b.url} name=web-2`,
        ...QUICK,
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    await using browser = await startBrowser();
    await browser.go(`${admin}/`);
    const shown = `[...document.querySelectorAll("#rows tr")]
    .filter((row) => !row.hidden)
    .map((row) => row.querySelector(".url").textContent).sort().join()`;
    await browser.until(`return ${shown} === "web-1,web-2"`, "both names");
    assert.equal(
      await browser.run(
        `return document.querySelector("#rows .address").title.slice(0, 7)`,
      ),
      "http://",
    );
    for (const word of ["web-2", `:${b.port}`]) {
      await browser.run(
        `const find = document.querySelector("#find");
       find.value = ${JSON.stringify(word)};
       find.dispatchEvent(new Event("input", { bubbles: true }))`,
      );
      await browser.until(`return ${shown} === "web-2"`, `what ${word} finds`);
    }
    await b.kill();
    await browser.until(
      'return document.querySelector("#log").textContent.includes("web-2 is down")',
      "the change by its name",
    );
  },
);
