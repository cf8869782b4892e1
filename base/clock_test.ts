import assert from "node:assert/strict";
import { systemClock } from "./clock.ts";

Deno.test("systemClock moves on, and its timers can be cleared", async () => {
  const began = systemClock.now();
  let ticks = 0;
  const every = systemClock.setInterval(() => ticks++, 1);
  const never = systemClock.setTimeout(() => assert.fail("cleared"), 1);
  systemClock.clear(never);
  // Held open by a timer of the test's, since the clock's own never do that.
  const hold = setTimeout(() => {}, 10_000);
  await new Promise<void>((resolve) => systemClock.setTimeout(resolve, 20));
  clearTimeout(hold);
  systemClock.clear(every);
  systemClock.clear(every);
  systemClock.clear(undefined);
  assert.ok(ticks > 0);
  assert.ok(systemClock.now() > began);
});
