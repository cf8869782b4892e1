import assert from "node:assert/strict";
import { judge, readSummary, sum } from "./run.ts";

const NONE = { passed: 0, failed: 0, skipped: 0 };

const SUMMARIES: [output: string, expected: ReturnType<typeof readSummary>][] =
  [
    ["ok | 5 passed | 0 failed (37ms)\n", { ...NONE, passed: 5 }],
    [
      "FAILED | 2 passed (3 steps) | 1 failed (1 step) | 4 ignored (1 step) | 7 filtered out (1s)\n",
      { passed: 2, failed: 1, skipped: 4 },
    ],
    [
      "\x1b[0m\x1b[32mok\x1b[0m | \x1b[0m12 passed | 0 failed \x1b[0m(1m2s)\n",
      { ...NONE, passed: 12 },
    ],
    [
      "ok | 1 passed | 0 failed (printed by a test)\nok | 9 passed | 0 failed (2s)\n",
      { ...NONE, passed: 9 },
    ],
    ["error: Type checking failed.\n", undefined],
    ["", undefined],
  ];

for (const [output, expected] of SUMMARIES) {
  Deno.test(`readSummary() of ${JSON.stringify(output)}`, () => {
    assert.deepEqual(readSummary(output), expected);
  });
}

Deno.test("judge() counts a check as one, and a crash as a failure", () => {
  const ok = "ok | 5 passed | 0 failed (37ms)\n";
  const failed = { ...NONE, failed: 1 };
  assert.deepEqual(judge({ check: true, code: 0, output: "" }), {
    ...NONE,
    passed: 1,
  });
  assert.deepEqual(judge({ check: true, code: 1, output: "" }), failed);
  assert.deepEqual(judge({ check: false, code: 1, output: "" }), failed);
  assert.deepEqual(judge({ check: false, code: 1, output: ok }), {
    ...failed,
    passed: 5,
  });
  assert.deepEqual(judge({ check: false, code: 0, output: ok }), {
    ...NONE,
    passed: 5,
  });
});

Deno.test("judge() counts a step in which no test ran as a failure", () => {
  const output = "ok | 0 passed | 0 failed | 115 filtered out (1s)\n";
  assert.deepEqual(judge({ check: false, code: 0, output }), {
    ...NONE,
    failed: 1,
  });
});

Deno.test("sum() names skipped tests only where there are any", () => {
  assert.equal(sum({ passed: 3, failed: 0, skipped: 0 }), "3 passed, 0 failed");
  assert.equal(
    sum({ passed: 3, failed: 1, skipped: 2 }),
    "3 passed, 1 failed, 2 skipped",
  );
});
