/**
 * The cases of chaos in their short forms.
 *
 * @module
 */

import { forBoth } from "../harness/suite.ts";
import { CASES } from "./cases.ts";

for (const { name, run } of CASES) {
  forBoth(name, { timeoutMs: 120_000 }, async (runtime) => {
    await run(runtime, "short");
  });
}
