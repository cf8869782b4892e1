import assert from "node:assert/strict";
import { DueTimers } from "./due_timers.ts";

Deno.test("DueTimers runs what is due when it is told, and nothing by itself", () => {
  let now = 0;
  const ran: string[] = [];
  const timers = new DueTimers(() => now);
  timers.setTimeout(() => ran.push("once"), 100);
  timers.setInterval(() => ran.push("again"), 40);
  timers.clear(timers.setTimeout(() => ran.push("cleared"), 10));
  timers.run();
  assert.deepEqual(ran, []);
  now = 99;
  timers.run();
  timers.run();
  assert.deepEqual(ran, ["again"]);
  now = 500;
  timers.run();
  assert.deepEqual(ran, ["again", "once", "again"]);
  timers.run();
  assert.deepEqual(ran, ["again", "once", "again"]);
});

Deno.test("a timer of DueTimers may set another, which waits its time", () => {
  let now = 0;
  let ran = 0;
  const timers = new DueTimers(() => now);
  timers.setTimeout(() => timers.setTimeout(() => ran++, 10), 10);
  now = 10;
  timers.run();
  timers.run();
  assert.equal(ran, 0);
  now = 20;
  timers.run();
  assert.equal(ran, 1);
});
