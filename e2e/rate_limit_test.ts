/**
 * `RATE_LIMIT`: how much each client gets, which requests are one client's, and
 * what the refused ones get.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { type Asked, OpenLoop } from "./harness/open_loop.ts";
import { type ProxyProcess, runProgram, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { startWorkers } from "./harness/workers.ts";

/** A request from this address, according to a trusted proxy in front. */
function from(address: string): Uint8Array {
  return requestText("GET", "/", { headers: { "X-Forwarded-For": address } });
}

function answered(asked: readonly Asked[], status: number): Asked[] {
  return asked.filter((one) => one.status === status);
}

/**
 * One client requests at ten times its rate, and another at its rate, for some
 * seconds; the limit is 50 a second, with a burst of 50.
 */
async function greedyAndModest(
  proxy: ProxyProcess,
  seconds: number,
  fresh = false,
): Promise<{ greedy: Asked[]; modest: Asked[] }> {
  await using greedy = new OpenLoop(proxy.port, {
    request: from("192.0.2.1"),
    even: true,
    fresh,
  });
  await using modest = new OpenLoop(proxy.port, {
    request: from("192.0.2.2"),
    even: true,
    fresh,
  });
  const both = await Promise.all([
    greedy.run(500, seconds),
    modest.run(49, seconds),
  ]);
  await Promise.all([greedy.settle(), modest.settle()]);
  return { greedy: both[0], modest: both[1] };
}

/**
 * What a bucket allows for requests at these times, taken from the proxy's own
 * log: a machine that stalls lets tokens overflow, which the times of the
 * responses do not show.
 */
function allowance(times: readonly number[]): number {
  let tokens = 50;
  let given = 0;
  times.forEach((at, i) => {
    const passed = at - (times[i - 1] ?? at);
    tokens = Math.min(50, tokens + passed / 1_000 * 50);
    if (tokens < 1) return;
    tokens--;
    given++;
  });
  return given;
}

/** When the greedy client's requests came, according to the log. */
async function arrivals(
  proxy: ProxyProcess,
  count: number,
): Promise<number[]> {
  const lines = await proxy.waitForLines(/"192\.0\.2\.1"/, count, 20_000);
  assert.equal(lines.length, count);
  return lines.map((line) => Date.parse(JSON.parse(line).time))
    .sort((a, b) => a - b);
}

/** Asserts it, and prints the margin. */
function withinFivePercent(given: number, wanted: number, asked: number): void {
  const off = 100 * (given / wanted - 1);
  const text =
    `${given} of ${asked} requests let through, ${wanted} allowed: ` +
    `${off.toFixed(1)} % off`;
  console.log(text);
  assert.ok(Math.abs(off) <= 5, text);
}

forBoth(
  "RATE_LIMIT holds a client to its rate, and does not affect another one",
  { timeoutMs: 60_000 },
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backend.url,
        RATE_LIMIT: "50/s",
        TRUSTED_PROXIES: "loopback",
        ACCESS_LOG: "json",
        ...ADMIN_ENV,
      },
    });
    const { greedy, modest } = await greedyAndModest(proxy, 6);
    const given = answered(greedy, 200).length;
    const wanted = allowance(await arrivals(proxy, greedy.length));
    withinFivePercent(given, wanted, greedy.length);
    const refused = answered(greedy, 429).length;
    assert.equal(refused, greedy.length - given);
    assert.equal(answered(modest, 200).length, modest.length);

    // Each refused request is in the metrics and in the log, and none reached a
    // backend.
    assert.equal(backend.requests.length, given + modest.length);
    const metrics = await (await fetch(`${await adminUrl(proxy)}/metrics`))
      .text();
    assert.match(
      metrics,
      new RegExp(`^sluice_rate_limited_total ${refused}$`, "m"),
    );
    assert.match(
      metrics,
      new RegExp(`^sluice_requests_total\\{code="429"\\} ${refused}$`, "m"),
    );
    const lines = await proxy.waitForLines(/"status":429/, refused, 10_000);
    assert.equal(lines.length, refused);
    assert.match(lines[0]!, /"client":"192\.0\.2\.1".*"backend":null/);
  },
);

forBoth("RATE_LIMIT answers 429 with Retry-After", async (
  runtime,
) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, RATE_LIMIT: "2/m" },
  });
  await using client = await RawConnection.connect(proxy.port);
  const get = requestText("GET", "/");
  for (let i = 0; i < 2; i++) {
    assert.equal((await client.request(get)).status, 200);
  }
  const refused = await client.request(get);
  assert.equal(refused.status, 429);
  const seconds = Number(refused.header("retry-after"));
  assert.ok(seconds >= 25 && seconds <= 30, String(seconds));
  assert.equal(
    refused.header("proxy-status"),
    "sluice; error=http_request_denied",
  );
  assert.equal(refused.text, "Too many requests: try again later.\n");
  // The connection stays open, and HEAD gets it without a body.
  const head = await client.request(requestText("HEAD", "/"));
  assert.equal(head.status, 429);
  assert.equal(head.body.length, 0);
  // A request with a body is refused in the same way.
  const post = await rawRequest(
    proxy.port,
    requestText("POST", "/", { body: "x".repeat(1_000) }),
  );
  assert.equal(post.status, 429);
  assert.equal(backend.requests.length, 2);
});

forBoth(
  "RATE_LIMIT counts by the address from trusted proxies, IPv6 by /64",
  async (
    runtime,
  ) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backend.url,
        RATE_LIMIT: "1/h",
        TRUSTED_PROXIES: "loopback, 10.0.0.0/8",
      },
    });
    const statuses = async (...addresses: string[]) => {
      const all: number[] = [];
      for (const address of addresses) {
        all.push((await rawRequest(proxy.port, from(address))).status);
      }
      return all;
    };
    assert.deepEqual(
      await statuses(
        "2001:db8:1:2::1",
        "2001:db8:1:2:ffff::9",
        "2001:DB8:1:3::1",
        "192.0.2.7",
        "::ffff:192.0.2.7",
        "::ffff:c000:207",
        // A client may have written what is left of the last untrusted address.
        "198.51.100.1, 192.0.2.7",
        "198.51.100.2, 192.0.2.8, 10.1.1.1",
        "198.51.100.3, 192.0.2.8",
      ),
      [200, 429, 200, 200, 429, 429, 429, 200, 429],
    );
  },
);

forBoth(
  "RATE_LIMIT believes no client that names another address",
  async (
    runtime,
  ) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, RATE_LIMIT: "3/h" },
    });
    const statuses: number[] = [];
    for (let i = 0; i < 6; i++) {
      statuses.push(
        (await rawRequest(proxy.port, from(`192.0.2.${i}`))).status,
      );
    }
    assert.deepEqual(statuses, [200, 200, 200, 429, 429, 429]);
  },
);

forBoth(
  "RATE_LIMIT with WORKERS holds for all of them together",
  { timeoutMs: 60_000 },
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startWorkers(runtime, {
      env: {
        BACKENDS: backend.url,
        RATE_LIMIT: "50/s",
        TRUSTED_PROXIES: "loopback",
        ACCESS_LOG: "json",
        ...ADMIN_ENV,
      },
      workers: 3,
    });
    // Each connection is accepted by any worker.
    const { greedy, modest } = await greedyAndModest(proxy, 6, true);
    const given = answered(greedy, 200).length;
    const wanted = allowance(await arrivals(proxy, greedy.length));
    withinFivePercent(given, wanted, greedy.length);
    assert.equal(answered(modest, 200).length, modest.length);
    const metrics = await (await fetch(`${await adminUrl(proxy)}/metrics`))
      .text();
    assert.match(
      metrics,
      new RegExp(`^sluice_rate_limited_total ${greedy.length - given}$`, "m"),
    );
  },
);

forBoth(
  "createProxy({ rateLimit: { key } }) limits by a custom key",
  async (
    runtime,
  ) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      entry: "e2e/rate_limit/library.ts",
      env: { BACKENDS: backend.url },
    });
    const ask = async (key?: string) =>
      (await rawRequest(
        proxy.port,
        requestText("GET", "/", {
          headers: key === undefined ? {} : { "X-Api-Key": key },
        }),
      )).status;
    for (let i = 0; i < 5; i++) assert.equal(await ask("a"), 200);
    assert.equal(await ask("a"), 429);
    assert.equal(await ask("b"), 200);
    for (let i = 0; i < 10; i++) assert.equal(await ask(), 200);
    // A key function that throws fails its own request (500), and no other.
    assert.equal(await ask("throw"), 500);
    await proxy.waitForLine(/rateLimit\.key has failed: Error: no such key/);
    assert.equal(await ask("b"), 200);
  },
);

forBoth("serve() refuses workers together with a key function", async (
  runtime,
) => {
  const { stdout } = await runProgram(runtime, {
    entry: "e2e/rate_limit/library.ts",
    env: { BACKENDS: "http://127.0.0.1:3000", WORKERS: "2" },
    permissions: ["--allow-read"],
  });
  assert.match(
    stdout,
    /Cannot serve: workers is 2, and rateLimit holds a function/,
  );
});
