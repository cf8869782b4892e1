/**
 * One of two hosts drops SYNs. Requests must neither fail nor wait for longer
 * than CONNECT_TIMEOUT: with `fetch` they waited for the whole time limit, and a
 * quarter of them got 504.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Handler, rawBackend } from "../harness/backend.ts";
import { blackhole } from "../harness/blackhole.ts";
import { rawRequest, requestText } from "../harness/client.ts";
import { startProxy } from "../harness/proxy.ts";
import { delay } from "../harness/wait.ts";
import type { ChaosCase } from "./case.ts";

const CONNECT_TIMEOUT_MS = 1_000;

/** Answers with the request's body. */
const echo: Handler = async (conn, request) => {
  await conn.reply({ body: await request.body() });
};

/** The case. */
export const unreachable: ChaosCase = {
  name:
    "over sockets a host that drops SYNs neither fails nor delays a request",
  needs: ["python3"],
  async run(runtime, scale) {
    const count = scale === "long" ? 60 : 20;
    await using hole = await blackhole();
    await using live = await rawBackend(echo);
    await using proxy = await startProxy(runtime, {
      env: {
        TRANSPORT: "socket",
        HEALTH_PATH: "off",
        BACKENDS: `${hole.url}, ${live.url}`,
        CONNECT_TIMEOUT: `${CONNECT_TIMEOUT_MS}ms`,
        // Nothing was sent, so these are no retries.
        RETRIES: "1",
        RETRY_BUDGET: "0%",
      },
    });
    const asked: Promise<number>[] = [];
    for (let i = 0; i < count; i++) {
      // Every second one is an upload, up to 190 KB.
      const size = i % 2 === 0 ? 0 : (i % 20) * 10_000;
      const text = size === 0
        ? requestText("GET", "/")
        : requestText("POST", "/", { body: "x".repeat(size) });
      const from = performance.now();
      asked.push(
        rawRequest(proxy.port, text).then(({ status, body }) => {
          assert.equal(status, 200);
          assert.equal(body.length, size);
          return performance.now() - from;
        }),
      );
      await delay(500);
    }
    const times = (await Promise.all(asked)).sort((a, b) => a - b);
    const longest = times.at(-1)!;
    // Some have to have met it.
    assert.ok(longest > 0.9 * CONNECT_TIMEOUT_MS, `${longest} ms`);
    // The short form runs beside other tests; TIMEOUT is 60 s.
    const most = scale === "long" ? CONNECT_TIMEOUT_MS + 1_000 : 10_000;
    assert.ok(longest < most, `${longest} ms`);
    await proxy.waitForLine(/is ejected/);
    return {
      requests: count,
      failed: 0,
      "waited for the host": times.filter((ms) => ms > 900).length,
      "longest (ms)": longest.toFixed(0),
    };
  },
};
