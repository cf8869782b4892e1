import assert from "node:assert/strict";
import { DueTimers } from "../base/due_timers.ts";
import type { Judges } from "./health.ts";
import { withUpkeep } from "./upkeep.ts";

/** A context as workerd has it: its methods need their owner. */
class Context {
  readonly #kept: Promise<unknown>[] = [];
  waitUntil(promise: Promise<unknown>): void {
    this.#kept.push(promise);
  }
  get kept(): readonly Promise<unknown>[] {
    return this.#kept;
  }
}

Deno.test("each request runs what is due, and keeps its probes and itself alive", async () => {
  let now = 0;
  const ran: string[] = [];
  const timers = new DueTimers(() => now);
  timers.setTimeout(() => ran.push("timer"), 10);
  const probes = Promise.resolve();
  const judges = { probeDue: () => (ran.push("probes"), probes) };
  const answered = Promise.resolve(new Response("ok"));
  const handle = withUpkeep(
    () => (ran.push("request"), answered),
    timers,
    judges as unknown as Judges,
  );
  const context = new Context();
  now = 10;
  await handle(new Request("http://sluice.test/"), context);
  assert.deepEqual(ran, ["timer", "probes", "request"]);
  assert.deepEqual(context.kept, [probes, answered]);
  // Without a context, or with the platform's `env` in its place.
  for (const connection of [undefined, null, {}, { waitUntil: "no" }]) {
    const answer = await handle(new Request("http://a/"), connection);
    assert.equal(answer.status, 200);
  }
});
