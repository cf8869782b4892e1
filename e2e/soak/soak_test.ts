/**
 * The soak in its short form, and its plots and fits.
 *
 * @module
 */

import assert from "node:assert/strict";
import { sentBy } from "../harness/proxy.ts";
import { forBoth, forOnce } from "../harness/suite.ts";
import { fitLine } from "./fit.ts";
import { csv, svg } from "./plot.ts";
import { soak } from "./run.ts";

forBoth(
  "mixed traffic beside killed backends and reloads leaves nothing behind, and each failure has a reason",
  {
    timeoutMs: 120_000,
    ...Deno.build.os === "linux" ? {} : { skip: "no /proc here" },
  },
  async (runtime) => {
    const soaked = await soak({
      runtime,
      transport: sentBy(runtime) === "fetch" ? "fetch" : "socket",
      seconds: 10,
      rate: 60,
      warmUp: 2,
      everySeconds: 1,
      killSeconds: 3,
      reloadSeconds: 2,
    });
    assert.deepEqual(soaked.unexplained, []);
    assert.ok(soaked.kills >= 1 && soaked.reloads >= 2);
    for (const kind of ["get", "post", "upload", "events", "webSocket"]) {
      assert.ok(soaked.outcomes.get(`${kind} ok`)! > 0, kind);
    }
    const { before, after } = soaked.descriptors;
    assert.ok(after <= before + 8, `${before} descriptors, then ${after}`);
    // A run of this length shows nothing about memory.
    assert.ok(soaked.samples.length >= 5);
  },
);

forOnce("fitLine() finds a line, and how far the points are from it", () => {
  const line = fitLine([[0, 1], [1, 3], [2, 5], [3, 7]]);
  assert.deepEqual(line, { slope: 2, start: 1, spread: 0 });
  const rough = fitLine([[0, 1], [1, -1], [2, 1], [3, -1]]);
  assert.ok(rough.slope < 0 && rough.spread > 1);
  assert.equal(fitLine([[1, 4], [1, 5], [1, 6]]).slope, 0);
  assert.throws(() => fitLine([[0, 0], [1, 1]]), RangeError);
});

forOnce("csv() and svg() show each sample", () => {
  const sample = {
    rss: 80.12345,
    descriptors: 30,
    inFlight: 4,
    cpu: 0.1,
    requests: 7,
    unexplained: 0,
  };
  const samples = [{ at: 5, ...sample }, { at: 10, ...sample, rss: 90 }];
  assert.equal(
    csv(samples),
    "at,rss,descriptors,inFlight,cpu,requests,unexplained\n" +
      "5,80.123,30,4,0.1,7,0\n10,90,30,4,0.1,7,0\n",
  );
  const picture = svg("a run", samples);
  assert.match(picture, /^<svg [^>]+>/);
  assert.equal(picture.match(/points="460\.0,/g)?.length, 3);
});
