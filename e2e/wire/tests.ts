/**
 * Registers the cases of a group: one test for each runtime, one step a case.
 *
 * @module
 */

import { forBoth } from "../harness/suite.ts";
import { Ground, type Group } from "./case.ts";
import { judge } from "./verdict.ts";

/** Registers a group's cases for both runtimes. */
export function wireTests(group: Group): void {
  forBoth(`wire: ${group.name}`, { timeoutMs: 180_000 }, async (runtime, t) => {
    await using ground = await Ground.open(group, runtime);
    const steps = group.cases.map((each) => async () => {
      // A failing step does not end the test: all results are wanted.
      await t.step({
        name: each.name,
        sanitizeOps: false,
        sanitizeResources: false,
        sanitizeExit: false,
        async fn() {
          const verdict = await judge(ground, each);
          if (verdict.kind === "fails") throw new Error(verdict.message);
          if (verdict.kind === "mended") {
            throw new Error(
              `It holds now: take it out of exceptions.ts ("${verdict.instead}")`,
            );
          }
        },
      });
    });
    if (group.together === true) await Promise.all(steps.map((run) => run()));
    else for (const run of steps) await run();
  });
}
