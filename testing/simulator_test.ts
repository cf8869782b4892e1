import assert from "node:assert/strict";
import { SCENARIOS } from "./simulate.ts";
import { type Outcome, readScenario, report, simulate } from "./simulator.ts";

/** Runs a scenario, or one of the built-in ones. */
function play(text: string): Promise<Outcome> {
  return simulate(readScenario(SCENARIOS[text] ?? text));
}

/** What befell one backend, in order, with the second it happened in. */
function fate({ events }: Outcome, name: string): string[] {
  return events.filter(({ what }) => what.startsWith(`${name} `))
    .map(({ at, what }) => `${Math.floor(at / 1_000)} ${what.split(" ")[1]}`);
}

Deno.test("simulate() death: one of three dies and no request fails", async () => {
  const outcome = await play("death");
  assert.deepEqual([...outcome.statuses], [[200, 3_000]]);
  assert.equal(outcome.repeated, 0);
  assert.deepEqual(fate(outcome, "b"), [
    "5 refuses",
    "5 ejected",
    "7 down",
    "15 answers",
    "15 readmitted",
    "16 up",
  ]);
  assert.deepEqual(fate(outcome, "a"), []);
});

Deno.test("simulate() death under way: only POSTs that were sent fail", async () => {
  const outcome = await play(`
    rate 100
    posts 2
    latency 100ms
    run 10s
    at 5s b refuses
  `);
  const posts = outcome.failures.filter(({ what }) => what.startsWith("POST"));
  assert.equal(posts.length, outcome.failures.length);
  // A third of the ten that were in flight, at most all of them POSTs.
  assert.ok(posts.length >= 1 && posts.length <= 4, report(outcome));
  assert.equal(outcome.repeated, 0);
});

Deno.test("simulate() storm: retries stay in their budget, and half in the pool", async () => {
  const outcome = await play("storm");
  const attempts = [...outcome.attempts.values()].reduce((a, b) => a + b);
  assert.deepEqual(outcome.statuses.get(200), 1_000);
  assert.deepEqual(outcome.statuses.get(502), 3_000);
  // 15 s of failing are a window and a half of free ones.
  assert.ok(attempts <= 1.2 * outcome.requests + 200, String(attempts));
  assert.ok(attempts > outcome.requests);
  assert.equal(
    fate(outcome, "a").filter((e) => e.includes("ejected")).length,
    0,
  );
});

Deno.test("simulate() hang: three time out, and one more after each return", async () => {
  const outcome = await play("hang");
  const failed = outcome.failures.length;
  assert.deepEqual(
    fate(outcome, "c").filter((e) => !e.includes("hangs"))
      .map((e) => e.split(" ")[1]).slice(0, 3),
    ["ejected", "readmitted", "ejected"],
  );
  // Each time those of about one second, a third of 50.
  const ejections = fate(outcome, "c").filter((e) => e.includes("ejected"));
  assert.ok(failed <= ejections.length * 22, report(outcome));
  assert.ok(outcome.failures.every(({ what }) => what.includes("504")));
});

Deno.test("simulate() flapping: each ejection is twice as long", async () => {
  const outcome = await play("flapping");
  const at = (word: string) =>
    outcome.events.filter(({ what }) => what.startsWith(`a ${word}`))
      .map(({ at }) => at);
  const out = at("ejected");
  const seconds = at("readmitted").map((back, i) =>
    Math.round((back - out[i]!) / 1_000)
  );
  assert.deepEqual(seconds.slice(0, 3), [10, 20, 40]);
});

Deno.test("simulate() rolling: what probes see costs nothing but what was under way", async () => {
  const outcome = await play("rolling");
  // A 503 of a backend is passed to the client, until three of them eject it.
  const told = outcome.failures.filter(({ what }) => what.includes("503"));
  assert.ok(told.length <= 3, report(outcome));
  // 404 is a response, and ejects no backend.
  assert.deepEqual(fate(outcome, "c"), ["20 misses"]);
  assert.equal(outcome.repeated, 0);
});

Deno.test("simulate() says the same each time", async () => {
  const [one, two] = [await play("death"), await play("death")];
  assert.equal(report(one), report(two));
});

Deno.test("readScenario() refuses what it cannot read", () => {
  assert.throws(() => readScenario("at 5s a explodes"), TypeError);
  assert.throws(() => readScenario("run fast"), TypeError);
  assert.throws(() => readScenario("ruin 5s"), TypeError);
});
