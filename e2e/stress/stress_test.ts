/**
 * Slow clients, a slow backend and HTTP/2 floods, all at once: good traffic is
 * answered, and nothing stays behind. The latencies are for `deno task stress`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { sentBy } from "../harness/proxy.ts";
import { type CaseOptions, forBoth, skippedWithout } from "../harness/suite.ts";
import { type Attack, ATTACKS } from "./attacks.ts";
import { stress } from "./run.ts";

const FLOODS = ATTACKS.filter(({ http2 }) => http2);
const SLOW = ATTACKS.filter(({ http2 }) => !http2);

function beside(
  what: string,
  attacks: readonly Attack[],
  options: CaseOptions,
): void {
  forBoth(
    `${what} beside good traffic: each good request is answered, and nothing stays behind`,
    {
      timeoutMs: 120_000,
      ...Deno.build.os === "linux" ? options : { skip: "no /proc here" },
    },
    async (runtime) => {
      const { asked, output, descriptors } = await stress({
        runtime,
        transport: sentBy(runtime) === "fetch" ? "fetch" : "socket",
        attacks,
        seconds: 2,
        rampSeconds: 1,
        rate: 50,
        scale: 0.2,
      });
      assert.ok(asked > 200);
      // The attacks were made.
      if (attacks === SLOW) assert.ok(descriptors[1] > descriptors[0] + 200);
      else {
        for (const line of output) {
          const { connections, sent } = JSON.parse(line);
          assert.ok(connections > 0 && sent > 50, line);
        }
      }
    },
  );
}

beside("slow clients and a slow backend", SLOW, skippedWithout("slowhttptest"));

// Bun's server speaks no HTTP/2 unless it is told to.
beside("HTTP/2 floods", FLOODS, {
  ...skippedWithout("openssl"),
  runtimes: ["deno"],
});
