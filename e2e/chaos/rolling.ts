/**
 * All backends are restarted, one after the other, as in a deployment: the
 * probe fails, the backend gets no new requests, it exits, it comes back. No
 * client may notice, whatever it sends.
 *
 * @module
 */

import assert from "node:assert/strict";
import { startProxy } from "../harness/proxy.ts";
import type { ChaosCase } from "./case.ts";
import { Load, newId, request } from "./load.ts";
import { Backends, deliveries, duplicates } from "./process.ts";

/** The case. */
export const rolling: ChaosCase = {
  name: "a rolling restart of all backends fails no request",
  async run(runtime, scale) {
    const rounds = scale === "long" ? 10 : 1;
    await using backends = await Backends.start(3);
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backends.urls,
        HEALTH_INTERVAL: "500ms",
        HEALTH_TIMEOUT: "490ms",
        HEALTH_RISE: "1",
        // A probe that is late on a busy machine is not a drain.
        HEALTH_FALL: "3",
      },
    });
    const gets = new Load(proxy.port, 12, () => request("GET", "/slow"));
    const posts = new Load(
      proxy.port,
      4,
      () => request("POST", "/slow", { id: newId(), body: "x".repeat(100) }),
    );
    let lines = 0;
    for (let round = 0; round < rounds; round++) {
      for (const backend of backends.all) {
        lines++;
        await backend.drain(true);
        await proxy.waitForLines(
          new RegExp(`${backend.url} is down`),
          round + 1,
          20_000,
        );
        // Its earlier requests have ended after this.
        await new Promise((resolve) => setTimeout(resolve, 200));
        await backend.kill();
        await backend.drain(false);
        await backend.start();
        await proxy.waitForLines(
          new RegExp(`${backend.url} is up`),
          round + 1,
          20_000,
        );
      }
    }
    const [got, posted] = await Promise.all([gets.end(), posts.end()]);
    const twice = duplicates(await deliveries(backends.all, "POST"));
    assert.equal(got.failed, 0, `GETs: ${got}\n${proxy.log}`);
    assert.equal(posted.failed, 0, `POSTs: ${posted}\n${proxy.log}`);
    assert.equal(twice, 0);
    return {
      restarts: lines,
      GETs: got.total,
      POSTs: posted.total,
      failed: got.failed + posted.failed,
    };
  },
};
