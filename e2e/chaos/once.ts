/**
 * A backend reads non-idempotent requests to their last byte and drops them.
 * Whatever the body, and whether the connection was new or kept, each may be
 * received only once: neither a retry nor the runtime's own `fetch` may repeat
 * it (Deno's repeats a POST on a kept connection that dies).
 *
 * @module
 */

import assert from "node:assert/strict";
import { startProxy } from "../harness/proxy.ts";
import type { ChaosCase } from "./case.ts";
import { Dropper } from "./dropper.ts";
import { Client, newId, request, Tally } from "./load.ts";

const KB = 1024;

/** How a body is sent. */
const BODIES = [
  { body: "" },
  { body: "x".repeat(200) },
  { body: "x".repeat(200), chunked: true },
  { body: "x".repeat(64 * KB) },
  { body: "x".repeat(64 * KB), chunked: true },
  // Neither length nor coding: no body.
  {},
] as const;

/** Not in the list of methods that may be repeated, known or not. */
const METHODS = ["POST", "PATCH", "POST", "PATCH", "PROPFIND", "QUERY"];

/** The case. */
export const once: ChaosCase = {
  name: "a POST or PATCH that is dropped after receipt is never repeated",
  async run(runtime, scale) {
    const total = scale === "long" ? 10_000 : 600;
    const clients = 12;
    const figures: Record<string, number | string> = {};
    for (const kept of [true, false]) {
      const answers = ({ method }: { method: string }) => method === "GET";
      await using a = new Dropper(answers);
      await using b = new Dropper(answers);
      await using proxy = await startProxy(runtime, {
        env: {
          BACKENDS: `${a.url},${b.url}`,
          HEALTH_PATH: "off",
          EJECT_AFTER: "off",
        },
      });
      const tally = new Tally();
      const sent = new Map<string, number>();
      let n = 0;
      await Promise.all(Array.from({ length: clients }, async () => {
        using client = new Client(proxy.port);
        while (n < total / 2) {
          const turn = n++;
          if (kept) {
            // Leaves connections for the next ones to be sent on.
            await Promise.all([
              client.request(request("GET", "/")),
            ]);
          }
          const body = BODIES[turn % BODIES.length]!;
          const method =
            METHODS[Math.floor(turn / BODIES.length) % METHODS.length]!;
          const id = newId();
          sent.set(id, "body" in body ? body.body.length : 0);
          tally.add(
            await client.request(request(method, "/", { id, ...body })),
          );
        }
      }));
      const received = [...a.received, ...b.received];
      const counts = new Map<string, number>();
      for (const { id, size } of received) {
        assert.equal(size, sent.get(id), "the body arrived whole");
        counts.set(id, (counts.get(id) ?? 0) + 1);
      }
      const twice = [...counts].filter(([, count]) => count > 1);
      const on = received.filter(({ reused }) => reused === kept).length;
      const what = kept ? "kept" : "new";
      figures[`sent (${what})`] = sent.size;
      figures[`received on ${what} connections`] = on;
      figures[`received twice (${what})`] = twice.length;
      assert.deepEqual(
        received.filter(({ id }) => counts.get(id)! > 1).map((r) => ({ ...r })),
        [],
        `received twice by ${runtime}`,
      );
      assert.equal(tally.statuses.get(502), sent.size, String(tally));
      assert.equal(counts.size, sent.size);
      assert.ok(on > sent.size / 3, `${on} on ${what} connections`);
    }
    return figures;
  },
};
