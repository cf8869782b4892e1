/**
 * All backends fail. Retries must not become a storm: at most a fifth more
 * attempts than requests, plus the hundred that the budget allows in any ten
 * seconds. If no backend listens, the response comes at once.
 *
 * @module
 */

import assert from "node:assert/strict";
import { deadPort } from "../harness/backend.ts";
import { startProxy } from "../harness/proxy.ts";
import type { ChaosCase } from "./case.ts";
import { Dropper } from "./dropper.ts";
import { Client, Load, request, Tally } from "./load.ts";

/** The first case. */
export const failing: ChaosCase = {
  name: "when every backend fails, attempts are at most 1.2 of the requests",
  async run(runtime, scale) {
    const total = scale === "long" ? 10_000 : 1_500;
    await using a = new Dropper(() => false);
    await using b = new Dropper(() => false);
    await using c = new Dropper(() => false);
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: [a, b, c].map(({ url }) => url).join(","),
        HEALTH_PATH: "off",
      },
    });
    const began = performance.now();
    const tally = new Tally();
    await Promise.all(Array.from({ length: 16 }, async () => {
      using client = new Client(proxy.port);
      while (tally.total < total - 16) {
        tally.add(await client.request(request("GET", "/")));
      }
    }));
    const seconds = (performance.now() - began) / 1000;
    const attempts = [a, b, c].reduce((n, d) => n + d.received.length, 0);
    const free = 100 * Math.ceil(seconds / 10);
    assert.equal(tally.statuses.get(502), tally.total, String(tally));
    assert.ok(
      attempts <= 1.2 * tally.total + free,
      `${attempts} attempts at ${tally.total} requests in ${seconds} s`,
    );
    assert.ok(attempts > tally.total, "some were tried again");
    return {
      requests: tally.total,
      attempts,
      ratio: (attempts / tally.total).toFixed(3),
      "of them free": free,
    };
  },
};

/** The second case. */
export const refusing: ChaosCase = {
  name: "when no backend listens, the answer is 502 or 503 within 50 ms",
  async run(runtime, scale) {
    const ports = [await deadPort(), await deadPort(), await deadPort()];
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: ports.map((port) => `http://127.0.0.1:${port}`).join(","),
        HEALTH_PATH: "off",
      },
    });
    const one = new Tally();
    using client = new Client(proxy.port);
    for (let i = 0; i < (scale === "long" ? 1_000 : 100); i++) {
      const body = i % 2 === 0 ? {} : { body: "x".repeat(1000) };
      one.add(
        await client.request(request(i % 2 === 0 ? "GET" : "POST", "/", body)),
      );
    }
    const load = new Load(proxy.port, 16, () => request("GET", "/"));
    await new Promise((r) => setTimeout(r, scale === "long" ? 3_000 : 500));
    const many = await load.end();
    for (const tally of [one, many]) {
      const { statuses } = tally;
      const told = (statuses.get(502) ?? 0) + (statuses.get(503) ?? 0);
      assert.equal(told, tally.total, String(tally));
    }
    const slowest = one.percentile(scale === "long" ? 0.999 : 0.9);
    assert.ok(slowest < 50, `${slowest} ms`);
    return {
      "one at a time": one.total,
      "slowest ms": one.percentile(1).toFixed(1),
      "16 at a time": many.total,
      "p99 ms": many.percentile(0.99).toFixed(1),
    };
  },
};
