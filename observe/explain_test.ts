import assert from "node:assert/strict"; // built in to both runtimes
import { Pool } from "../balancer.ts";
import { explainer, explanation } from "./explain.ts";

Deno.test("explanation() has the attempts, and the skipped backends with reasons", () => {
  const pool = new Pool([
    { url: "http://a.test" },
    { url: "http://b.test" },
    { url: "http://c.test" },
    { url: "http://d.test", backup: true },
    { url: "http://e.test", weight: 0 },
  ]);
  const [a, b, c] = [...pool];
  c!.up = false;
  const attempt = (backend: typeof a, ms: number, outcome: string) => ({
    backend: backend!,
    startedAt: 0,
    ms,
    outcome,
    spanId: undefined,
  });
  assert.equal(
    explanation(
      [attempt(a, 1.239, "connection refused"), attempt(b, 20, "200")],
      22.5,
      { pool, policy: "round_robin" },
    ),
    'sluice;dur=22.5;desc="policy round_robin", ' +
      'attempt;dur=1.24;desc="http://a.test: connection refused", ' +
      'attempt;dur=20;desc="http://b.test: 200", ' +
      'skipped;desc="http://c.test: down", ' +
      'skipped;desc="http://d.test: a backup", ' +
      'skipped;desc="http://e.test: resting"',
  );
});

Deno.test("explanation() stays one short field for a thousand hostile backends", () => {
  const pool = new Pool(
    Array.from({ length: 1000 }, (_, i) => ({ url: `"\\\r\n\u00e9${i}` })),
  );
  for (const backend of pool) backend.up = false;
  const text = explanation([], 1, { pool, policy: "p2c" });
  assert.match(text, /^[\x20-\x7e]+$/);
  assert.match(text, /and 990 more/);
  assert.ok(text.length < 2000);
});

// A trusted proxy passes on what its clients write: each of them was told the
// addresses of all backends.
Deno.test("explainer() allows the token, and nothing else", () => {
  const { allows } = explainer({
    pool: new Pool([]),
    policy: "random",
    knows: (given) => given === "the token",
  });
  assert.equal(allows("the token"), true);
  assert.equal(allows("1"), false);
  assert.equal(allows(""), false);
});
