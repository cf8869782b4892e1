/**
 * The sections of the Autobahn test suite, from both ends of a bridge: what one
 * end says reaches the other as RFC 6455 has it, and what is invalid reaches it
 * not at all and ends both connections.
 */

import assert from "node:assert/strict";
import { framesOf } from "../../testing/reference_frames.ts";
import { type Bridged, bridged, type From, Granting } from "../fuzz/frames.ts";
import { frameFault } from "../fuzz/judge_frames.ts";
import { startProxy } from "../harness/proxy.ts";
import { forBoth } from "../harness/suite.ts";
import { concat } from "../harness/wire.ts";
import { bytesOf, CONFORMANCE, KNOWN_ON_DENO } from "./conformance.ts";

/** Cases at a time. */
const ABREAST = 8;

for (const from of ["client", "backend"] as const satisfies readonly From[]) {
  forBoth(
    `WebSocket: the sections of Autobahn's suite, sent by the ${from}`,
    { timeoutMs: 120_000 },
    async (runtime) => {
      await using backend = await Granting.start();
      await using proxy = await startProxy(runtime, {
        env: { BACKENDS: backend.url, HEALTH_PATH: "off", EJECT_AFTER: "off" },
      });
      const found: string[] = [];
      let next = 0;
      const row = async () => {
        while (next < CONFORMANCE.length) {
          const each = CONFORMANCE[next++]!;
          const pieces = bytesOf(each, from === "client");
          const wanted = framesOf(concat(pieces), from === "client");
          const given: Bridged = await bridged(
            proxy.port,
            backend,
            from,
            pieces,
            wanted.end !== "open" && wanted.end !== "cut",
          );
          const fault = frameFault(wanted, given);
          if (fault !== undefined) found.push(`${each.name}: ${fault}`);
        }
      };
      await Promise.all(Array.from({ length: ABREAST }, row));
      // Asserted the other way round: a Deno that mends them is noticed.
      const known = runtime === "deno" && from === "client"
        ? KNOWN_ON_DENO
        : [];
      assert.deepEqual(found.sort(), known);
    },
  );
}
