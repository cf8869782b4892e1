/**
 * One of three backends is killed and restarted every two seconds under the
 * load of 32 clients. No GET may fail; a POST may fail only if it was in flight
 * when the backend died, and none may arrive twice.
 *
 * @module
 */

import assert from "node:assert/strict";
import { startProxy } from "../harness/proxy.ts";
import type { ChaosCase } from "./case.ts";
import { Load, newId, pause, request } from "./load.ts";
import { Backends, deliveries, duplicates } from "./process.ts";

/** A POST that failed this long after a kill was still in flight then. */
const SEEN_LATE_MS = 250;

/** The case. */
export const killed: ChaosCase = {
  name: "a backend killed every 2 s costs no GET, and repeats no POST",
  async run(runtime, scale) {
    const seconds = scale === "long" ? 60 : 5;
    await using backends = await Backends.start(3);
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backends.urls,
        HEALTH_INTERVAL: "500ms",
        HEALTH_TIMEOUT: "400ms",
      },
    });
    const gets = new Load(proxy.port, 24, () => request("GET", "/"));
    const posts = new Load(
      proxy.port,
      8,
      () => request("POST", "/", { id: newId(), body: "x".repeat(100) }),
    );
    const kills: number[] = [];
    const until = performance.now() + seconds * 1000;
    let cpuMs = 0;
    for (let turn = 0; performance.now() < until; turn++) {
      const backend = backends.all[turn % 3]!;
      await pause(1_000);
      kills.push(performance.now());
      await backend.kill();
      await pause(1_000);
      await backend.start();
      cpuMs = proxy.cpuMs();
    }
    const [got, posted] = await Promise.all([gets.end(), posts.end()]);
    const delivered = await deliveries(backends.all, "POST");
    const twice = duplicates(delivered);
    const unexplained = posted.failures.filter(({ startedAt, endedAt }) =>
      !kills.some((at) => startedAt < at + SEEN_LATE_MS && endedAt > at)
    );
    const figures = {
      kills: kills.length,
      GETs: got.total,
      "failed GETs": got.failed,
      POSTs: posted.total,
      "failed POSTs": posted.failed,
      "of them not under way": unexplained.length,
      "POSTs delivered twice": twice,
      "proxy CPU s": (cpuMs / 1000).toFixed(1),
    };
    assert.equal(got.failed, 0, `GETs: ${got}\n${proxy.log}`);
    const late = unexplained.map(({ startedAt }) =>
      Math.round(startedAt - kills.findLast((at) => at <= startedAt)!)
    );
    assert.deepEqual(late, [], `ms after a kill; ${posted}\n${proxy.log}`);
    assert.equal(twice, 0);
    assert.ok(got.good > 0 && posted.good > 0);
    return figures;
  },
};
