/**
 * The short forms of the fuzzing, with the same bytes in each run.
 * `deno task fuzz` has the long ones, and testing/FUZZ.md the findings.
 */

import assert from "node:assert/strict";
import { AdminFuzz } from "./fuzz/admin.ts";
import { FileFuzz } from "./fuzz/file.ts";
import { AnswerFuzz } from "./fuzz/answers.ts";
import { RequestFuzz } from "./fuzz/requests.ts";
import { WebSocketFuzz } from "./fuzz/websocket.ts";
import { corpus } from "./fuzz/seeds.ts";
import { forBoth, forOnce } from "./harness/suite.ts";
import { GROUPS } from "./wire/groups.ts";

const COUNT = 400;
const SHORT = { count: COUNT, seed: 1 };
const TRANSPORTS = ["socket", "fetch"] as const;

forOnce(
  "the corpus of the fuzzing has seeds of each group of wire cases",
  async () => {
    assert.deepEqual(
      Object.keys(await corpus()).sort(),
      GROUPS.map(({ name }) => name).sort(),
      "write it anew with `deno task fuzz seeds`",
    );
  },
);

for (const transport of TRANSPORTS) {
  forBoth(
    `${COUNT} mutated requests over ${transport} are executed as a strict reader reads them, or not at all`,
    { timeoutMs: 60_000 },
    async (runtime) => {
      const seeds = Object.values(await corpus())
        .flatMap(({ requests }) => requests);
      const report = await new RequestFuzz({
        runtime,
        transport,
        ...SHORT,
        seeds,
      }).run();
      assert.equal(report.bad, 0, report.text());
      // The mutations are useful only if many pass and many do not.
      const executed = report.counts.get("executed") ?? 0;
      assert.ok(executed > COUNT / 5, report.text());
      assert.ok((report.counts.get("status 400") ?? 0) > COUNT / 5);
    },
  );

  forBoth(
    `${COUNT} mutated answers over ${transport} reach the client as a strict reader reads them, or as a failure`,
    { timeoutMs: 60_000 },
    async (runtime) => {
      const seeds = Object.values(await corpus())
        .flatMap(({ answers }) => answers);
      const report = await new AnswerFuzz({
        runtime,
        transport,
        ...SHORT,
        seeds,
      }).run();
      assert.equal(report.bad, 0, report.text());
      assert.ok((report.counts.get("passed") ?? 0) > COUNT / 5);
      assert.ok((report.counts.get("told 502") ?? 0) > COUNT / 5);
    },
  );
}

forBoth(
  "100 WebSockets with frames at random, from either end, carry what a strict reader reads",
  { timeoutMs: 60_000 },
  async (runtime) => {
    const report = await new WebSocketFuzz({ runtime, count: 100, seed: 1 })
      .run();
    assert.equal(report.bad, 0, report.text());
  },
);

forBoth(
  "300 requests at random on the admin port change what they say, or nothing",
  { timeoutMs: 60_000 },
  async (runtime) => {
    const report = await new AdminFuzz({ runtime, count: 300, seed: 1 }).run();
    assert.equal(report.bad, 0, report.text());
    assert.ok((report.counts.get("status 201") ?? 0) > 5, report.text());
  },
);

forBoth(
  "100 contents of BACKENDS_FILE at random are read as they are meant, or change nothing",
  { timeoutMs: 60_000 },
  async (runtime) => {
    const report = await new FileFuzz({ runtime, count: 100, seed: 1 }).run();
    assert.equal(report.bad, 0, report.text());
    assert.ok((report.counts.get("read") ?? 0) > 20, report.text());
    assert.ok((report.counts.get("refused") ?? 0) > 20, report.text());
  },
);
