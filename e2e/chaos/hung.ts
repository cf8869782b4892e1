/**
 * Requests hang on one of three backends, more than Bun's `fetch` sends
 * concurrently by default. The other two must be as fast as before and probes
 * must pass, for the program and for a library user.
 *
 * @module
 */

import assert from "node:assert/strict";
import { PROGRAM, type ProxyProcess, startProxy } from "../harness/proxy.ts";
import type { ChaosCase } from "./case.ts";
import { Client, Load, request, type Tally } from "./load.ts";
import { Backends } from "./process.ts";

const HANGING = 300;

async function load(proxy: ProxyProcess, ms: number): Promise<Tally> {
  const load = new Load(proxy.port, 8, () => request("GET", "/"));
  await new Promise((resolve) => setTimeout(resolve, ms));
  return await load.end();
}

/** The case. */
export const hung: ChaosCase = {
  name: "300 requests that hang on one backend slow down no other",
  async run(runtime, scale) {
    const ms = scale === "long" ? 5_000 : 700;
    const figures: Record<string, number | string> = {};
    for (const entry of [PROGRAM, "e2e/chaos/library.ts"]) {
      await using backends = await Backends.start(3, "hangs");
      await using proxy = await startProxy(runtime, {
        entry,
        env: {
          BACKENDS: backends.urls,
          HEALTH_INTERVAL: "1s",
          HEALTH_TIMEOUT: "900ms",
          // What hangs is to hang until the end.
          TIMEOUT: "120s",
        },
      });
      await load(proxy, 500);
      const before = await load(proxy, ms);
      const clients: Client[] = [];
      // Two of three are answered by the others.
      const ended: Promise<unknown>[] = [];
      let hanging = 0;
      while (hanging < HANGING && clients.length < 4 * HANGING) {
        const client = new Client(proxy.port);
        clients.push(client);
        hanging++;
        ended.push(
          client.request(request("GET", "/hang")).then(({ status }) => {
            hanging--;
            assert.ok(status === 200 || status === 0, String(status));
          }),
        );
        // Few at a time, until it is known where they have arrived.
        if (clients.length % 30 === 0 || hanging === HANGING) {
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      }
      const during = await load(proxy, ms);
      const left = hanging;
      for (const client of clients) client.close();
      await Promise.all(ended);
      const after = await load(proxy, ms);
      const what = entry === PROGRAM ? "program" : "library";
      const p99 = [before, during, after].map((t) => t.percentile(0.99));
      figures[`${what}: hanging`] = left;
      figures[`p99 before, during, after (ms, ${what})`] = p99
        .map((ms) => ms.toFixed(1)).join(" ");
      figures[`answers during (${what})`] = during.total;
      // A library on Bun cannot raise the limit of 256: each backend gets at
      // most its share.
      const all = runtime === "deno" || entry === PROGRAM;
      assert.ok(all ? left === HANGING : left > 64, `${left} were hanging`);
      assert.equal(during.failed, 0, `${during}\n${proxy.log}`);
      const base = Math.max(p99[0]!, p99[2]!);
      // The short form runs beside other tests: starvation lasts for seconds.
      const most = scale === "long" ? 2 * base : Math.max(4 * base, 100);
      assert.ok(p99[1]! < most, `p99 ${p99.join(" ")}`);
      assert.doesNotMatch(proxy.log, / is down /);
    }
    return figures;
  },
};
