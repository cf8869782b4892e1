/**
 * `MAX_IN_FLIGHT=auto` in front of backends with a limited capacity: what it
 * refuses, and what it lets through.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { OpenLoop } from "./harness/open_loop.ts";
import { type ProxyProcess, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { startWorkers } from "./harness/workers.ts";
import { goodput, inTime, refused, Workshop } from "./overload/workshop.ts";

/** A metric without labels. */
async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name} (.+)$`, "m").exec(text)?.[1]);
}

function start(
  runtime: ProxyProcess["runtime"],
  workshop: Workshop,
  env: Record<string, string> = {},
): Promise<ProxyProcess> {
  return startProxy(runtime, {
    env: {
      BACKENDS: workshop.urls,
      MAX_IN_FLIGHT: "auto",
      ...ADMIN_ENV,
      ...env,
    },
  });
}

/**
 * Wider than what an idle machine shows (0.9 and more, under 0.01), which is
 * for `deno task overload` and the simulator: another process that uses the
 * processor reduces goodput too. Without a limit it is 0.21 to 0.23.
 */
const GOOD = 0.6;
const FEW = 0.05;

const BOUND = { timeoutMs: 120_000 };

// Each counted as one that waits for a backend: the 101st was refused, while no
// backend had anything to do.
forBoth(
  "MAX_IN_FLIGHT=auto counts no request that is in an onRequest hook",
  { timeoutMs: 60_000 },
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      entry: "e2e/overload/hook.ts",
      env: { BACKENDS: backend.url },
    });
    const get = requestText("GET", "/");
    const answers = await Promise.all(
      Array.from(
        { length: 300 },
        () => rawRequest(proxy.port, get, { timeoutMs: 50_000 }),
      ),
    );
    const statuses = new Set(answers.map(({ status }) => status));
    assert.deepEqual([...statuses], [200]);
    assert.equal(backend.requests.length, 300);
  },
);

forBoth(
  "MAX_IN_FLIGHT=auto refuses little at 70 % load, keeps most of the goodput at 200 %, and is as before 5 s later",
  BOUND,
  async (runtime) => {
    await using workshop = await Workshop.start(2);
    await using proxy = await start(runtime, workshop);
    const admin = await adminUrl(proxy);
    await using load = new OpenLoop(proxy.port);
    const { capacity } = workshop;
    const before = await load.run(0.7 * capacity, 8);
    // A burst may wait longer than a standing queue, which takes seconds to
    // detect. (The simulator's tests count from the first one.)
    const first = await load.run(2 * capacity, 3);
    const busy = workshop.timed();
    const over = await load.run(2 * capacity, 12);
    const busyShare = busy();
    const limit = await metric(admin, "sluice_in_flight_limit");
    await load.run(0.7 * capacity, 5);
    const after = await load.run(0.7 * capacity, 5);
    await load.settle();
    assert.ok(refused(before) <= FEW, `before: ${refused(before)}`);
    const good = goodput(over, busyShare);
    assert.ok(good >= GOOD, `goodput: ${good}`);
    // Refusals come at once, and what is let through waits no longer than
    // allowed.
    const no = [...first, ...over].filter(({ status }) => status === 503);
    assert.ok(no.length > 0.3 * (first.length + over.length));
    const toldMs = no.map(({ at, endedAt }) => endedAt - at)
      .sort((a, b) => a - b)[no.length >> 1]!;
    assert.ok(toldMs < 1_000, `${toldMs} ms until told`);
    assert.ok(refused(after) <= FEW, `after: ${refused(after)}`);
    assert.ok(inTime(after) >= 1 - FEW, `in time after: ${inTime(after)}`);
    // Every request was answered: 200 or 503.
    const odd = load.asked.filter(({ status }) =>
      status !== 200 && status !== 503
    );
    assert.deepEqual(odd, []);
    assert.ok(limit >= 20 && limit <= 2_000, String(limit));
    const counted = await metric(admin, "sluice_in_flight_refused_total");
    assert.equal(
      counted,
      load.asked.filter(({ status }) => status === 503).length,
    );
    assert.equal(await metric(admin, "sluice_requests_waiting"), 0);
  },
);

forBoth(
  "MAX_IN_FLIGHT=auto follows backends that get slower and faster within 10 s",
  BOUND,
  async (runtime) => {
    await using workshop = await Workshop.start(2);
    await using proxy = await start(runtime, workshop);
    await using load = new OpenLoop(proxy.port);
    const { capacity } = workshop;
    await load.run(0.5 * capacity, 3);
    await load.run(1.5 * capacity, 6);
    for (const speed of [0.5, 1]) {
      workshop.speed = speed;
      await load.run(1.5 * capacity, 10);
      const busy = workshop.timed();
      const asked = await load.run(1.5 * capacity, 6);
      const good = goodput(asked, busy());
      assert.ok(good >= GOOD, `goodput at speed ${speed}: ${good}`);
    }
    await load.settle();
  },
);

forBoth(
  "MAX_IN_FLIGHT=auto with WORKERS holds for all of them",
  BOUND,
  async (runtime) => {
    await using workshop = await Workshop.start(2);
    await using proxy = await startWorkers(runtime, {
      env: {
        BACKENDS: workshop.urls,
        MAX_IN_FLIGHT: "auto",
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    // Each has its own, and the figure is the sum.
    await until(async () =>
      await metric(admin, "sluice_in_flight_limit") === 100
    );
    await using load = new OpenLoop(proxy.port);
    const { capacity } = workshop;
    const before = await load.run(0.7 * capacity, 5);
    await load.run(2 * capacity, 3);
    const busy = workshop.timed();
    const over = await load.run(2 * capacity, 12);
    const busyShare = busy();
    await load.run(0.7 * capacity, 5);
    const after = await load.run(0.7 * capacity, 4);
    await load.settle();
    assert.ok(refused(before) <= FEW, `before: ${refused(before)}`);
    const good = goodput(over, busyShare);
    assert.ok(good >= GOOD, `goodput: ${good}`);
    assert.ok(refused(after) <= FEW, `after: ${refused(after)}`);
  },
);

forBoth(
  "MAX_IN_FLIGHT=auto counts the wait for a header, and no download or long poll",
  async (runtime) => {
    // 150 clients that read slowly and 150 that wait for an event exceed the
    // initial limit; neither is work for a backend.
    const { promise, resolve } = Promise.withResolvers<void>();
    await using backend = await rawBackend(async (conn, request) => {
      if (request.path === "/download") {
        await conn.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nb");
        await Promise.race([promise, conn.closed]);
        await conn.send("ytes");
      } else {
        if (request.path === "/poll") {
          await Promise.race([promise, conn.closed]);
        }
        await conn.reply({ body: "done" });
      }
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, MAX_IN_FLIGHT: "auto" },
    });
    const get = requestText("GET", "/");
    const clients: RawConnection[] = [];
    const open = async (path: string) => {
      const client = await RawConnection.connect(proxy.port);
      clients.push(client);
      await client.write(requestText("GET", path));
      return client;
    };
    for (let i = 0; i < 150; i++) {
      const client = await open("/download");
      assert.equal((await client.readHead()).status, 200);
    }
    // Some ordinary ones, from which it learns what is long.
    for (let i = 0; i < 100; i++) {
      assert.equal((await rawRequest(proxy.port, get)).status, 200);
    }
    // After a while they count no more, and others come.
    await until(async () => {
      for (let i = 0; i < 50; i++) await open("/poll");
      return clients.length >= 300;
    }, { everyMs: 3_000, timeoutMs: 25_000 });
    for (let i = 0; i < 20; i++) {
      assert.equal((await rawRequest(proxy.port, get)).status, 200);
    }
    resolve();
    for (const client of clients.slice(150)) {
      assert.equal((await client.readResponse()).status, 200);
    }
    for (const client of clients) await client.close();
  },
);
