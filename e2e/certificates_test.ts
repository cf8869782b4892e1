/**
 * Certificates that are replaced while the proxy runs.
 */

import assert from "node:assert/strict";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { swapUnderLoad } from "./tls/swap.ts";

// A renewed certificate was shown after a new start only: neither runtime gives a
// running server another one, and a second listener beside the first lost the
// connections that the first let go of.
for (const workers of [1, 2]) {
  forBoth(
    `certificates are replaced under load, and no connection is lost, WORKERS=${workers}`,
    { ...skippedWithout("openssl"), timeoutMs: 120_000 },
    async (runtime) => {
      const swaps = 6;
      const { failures, stale, certificates, standing, connections } =
        await swapUnderLoad(runtime, {
          swaps,
          perSecond: 50,
          pauseMs: 500,
          workers,
        });
      assert.deepEqual(failures, []);
      assert.equal(stale, 0);
      assert.equal(certificates, swaps + 1);
      assert.equal(standing, swaps);
      assert.ok(connections > 100);
    },
  );
}
