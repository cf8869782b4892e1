/**
 * The cases of chaos in their short forms.
 *
 * @module
 */

import { forBoth, skippedWithout } from "../harness/suite.ts";
import { CASES } from "./cases.ts";

for (const { name, needs = [], run } of CASES) {
  const options = { ...skippedWithout(...needs), timeoutMs: 120_000 };
  forBoth(name, options, async (runtime) => {
    await run(runtime, "short");
  });
}
