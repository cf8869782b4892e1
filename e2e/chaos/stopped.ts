/**
 * The proxy gets SIGTERM under load on kept connections. Each request that was
 * sent must be answered: a client may only find the port closed, and then has
 * sent nothing.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ROOT } from "../../testing/tools.ts";
import { startProxy } from "../harness/proxy.ts";
import type { ChaosCase } from "./case.ts";
import { Load, newId, pause, request } from "./load.ts";
import { Backends } from "./process.ts";

/** The case, with so many workers. */
const stoppedWith = (workers: 1 | 2): ChaosCase => ({
  name: `SIGTERM under load costs no request, and ends in time${
    workers === 1 ? "" : `, with WORKERS=${workers}`
  }`,
  async run(runtime, scale) {
    const rounds = scale === "long" ? 10 : 2;
    const figures = { rounds, answers: 0, cut: 0, "slowest exit ms": 0 };
    await using backends = await Backends.start(2);
    for (let round = 0; round < rounds; round++) {
      await using proxy = await startProxy(runtime, {
        env: { BACKENDS: backends.urls, WORKERS: String(workers) },
        permissions: [`--allow-read=${ROOT}`],
      });
      const ended = { untilRefused: true };
      const loads = [
        new Load(proxy.port, 12, () => request("GET", "/"), ended),
        new Load(proxy.port, 12, () => request("GET", "/slow"), ended),
        new Load(
          proxy.port,
          8,
          () =>
            request("POST", "/slow", { id: newId(), body: "x".repeat(999) }),
          { ...ended, pauseMs: 10 },
        ),
      ];
      await pause(700);
      proxy.signal("SIGTERM");
      const began = performance.now();
      const { code } = await proxy.waitForExit(10_000);
      const ms = Math.round(performance.now() - began);
      await Promise.all(loads.map(({ done }) => done));
      for (const { tally } of loads) {
        figures.answers += tally.good;
        figures.cut += tally.cut;
        const others = tally.failed - tally.cut - tally.refused;
        assert.equal(others, 0, `${tally}`);
      }
      figures["slowest exit ms"] = Math.max(figures["slowest exit ms"], ms);
      assert.equal(code, 0);
    }
    assert.equal(figures.cut, 0, `${figures.cut} cut of ${figures.answers}`);
    assert.ok(figures["slowest exit ms"] < 5_000);
    return figures;
  },
});

/** One listener. */
export const stopped: ChaosCase = stoppedWith(1);
/** Several, which have to close at the same moment. */
export const stoppedTogether: ChaosCase = stoppedWith(2);
