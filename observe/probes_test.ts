import assert from "node:assert/strict";
import { Pool } from "../balancer.ts";
import type { ProbeReport } from "../health.ts";
import { ProbeHistory } from "./probes.ts";

const REPORT: ProbeReport = {
  health: { up: true, streak: 0, known: true },
  lastMs: 3,
  last: { status: 200 },
  made: 1,
  failed: 0,
};

Deno.test("ProbeHistory is bounded while no dashboard takes the probes", () => {
  const pool = new Pool(["http://a.test", "http://b.test"]);
  const [a, b] = pool.backends;
  const history = new ProbeHistory(pool);
  for (let i = 0; i < 5_000; i++) history.add(a!, true, REPORT);
  assert.equal(history.of(a!).length, 30);
  assert.equal(history.fresh().length, 4_096);
  assert.equal(history.fresh().length, 0);
  history.add(b!, false, { ...REPORT, last: { error: "refused" } });
  const [fresh] = history.fresh();
  assert.deepEqual(
    [fresh?.id, fresh?.ms, fresh?.passed, fresh?.heard],
    [b!.id, 3, false, "refused"],
  );
  pool.remove(b!);
  assert.deepEqual(history.of(b!), []);
  history.stop();
});
