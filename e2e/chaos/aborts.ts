/**
 * Clients abort at random moments: before the response, in its head, in its
 * body, in their own upload. Nothing may leak: no descriptor, no request
 * counted as in flight, no memory.
 *
 * @module
 */

import assert from "node:assert/strict";
import { startProxy } from "../harness/proxy.ts";
import { until } from "../harness/wait.ts";
import type { ChaosCase } from "./case.ts";
import type { Counters } from "./library.ts";
import { Client, request } from "./load.ts";
import { Backends } from "./process.ts";

const CLIENTS = 64;
/** Bytes by which the process may have grown in the second round. */
const GROWTH = 40 * 1024 * 1024;

/** The case. */
export const aborts: ChaosCase = {
  name: "10,000 disconnecting clients leave no descriptor, request or memory",
  async run(runtime, scale) {
    const count = scale === "long" ? 10_000 : 1_500;
    await using backends = await Backends.start(2);
    await using proxy = await startProxy(runtime, {
      entry: "e2e/chaos/library.ts",
      env: {
        BACKENDS: backends.urls,
        BUN_CONFIG_MAX_HTTP_REQUESTS: "65535",
      },
    });
    const [, port] = await proxy.waitForLine(/counters on (\d+)/);
    const counters = async (): Promise<Counters> => {
      const answer = await fetch(`http://127.0.0.1:${port}/`, {
        headers: { connection: "close" },
      });
      return await answer.json();
    };
    const storm = async (count: number) => {
      let left = count;
      await Promise.all(Array.from({ length: CLIENTS }, async () => {
        while (left-- > 0) {
          const body = Math.random() < 0.3
            ? { body: "x".repeat(Math.floor(Math.random() * 100_000)) }
            : {};
          let text = request(body.body ? "POST" : "GET", "/any", body);
          // One in ten aborts in the middle of its request.
          if (Math.random() < 0.1) text = text.slice(0, text.length * 0.7);
          const client = new Client(proxy.port);
          await client.abort(text, Math.random() * 40);
        }
      }));
      await until(async () => (await counters()).inFlight === 0, {
        timeoutMs: 10_000,
        what: "requests to end",
      });
    };
    await storm(200);
    const idle = proxy.fds();
    await storm(count);
    const first = proxy.rss();
    await storm(count);
    // Connections to backends are kept for a while, as many as there were
    // concurrent requests; Bun keeps 64 for each for minutes.
    const most = idle + 2 * CLIENTS;
    await until(() => proxy.fds() <= most, {
      timeoutMs: 30_000,
      what: () => `descriptors: ${proxy.fds()}, at most ${most}`,
    });
    const grown = proxy.rss() - first;
    // A short round does not bring the heap to its steady size.
    if (scale === "long") assert.ok(grown < GROWTH, `grown by ${grown} bytes`);
    assert.doesNotMatch(proxy.log, /ejected|cannot forward|not handled/);
    return {
      aborts: 2 * count,
      "descriptors before, after": `${idle} ${proxy.fds()}`,
      "in flight after": (await counters()).inFlight,
      "grown in the second round (MB)": (grown / 1024 / 1024).toFixed(1),
      "MB": (first / 1024 / 1024).toFixed(0),
    };
  },
};
