import assert from "node:assert/strict";
import { Pool } from "../balancer.ts";
import { FakeClock } from "../testing/clock.ts";
import { backendJson } from "./backend_json.ts";
import { EventLog } from "./events.ts";

function made() {
  const clock = new FakeClock();
  const pool = new Pool(["http://a.test"]);
  const log = new EventLog(pool, {
    clock,
    describe: (backend) => backendJson(backend, undefined),
    date: () => 36,
  });
  const [backend] = pool.backends;
  let weight = 1;
  const change = (times = 1) => {
    for (let i = 0; i < times; i++) pool.setWeight(backend!, ++weight % 1000);
  };
  return { clock, log, change };
}

/** Reads a stream step by step, as text. */
function readerOf(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  return {
    async next(): Promise<string | undefined> {
      const { done, value } = await reader.read();
      return done ? undefined : decoder.decode(value);
    },
    leave: () => reader.cancel(),
  };
}

/** Ids of the changes in a text. */
const ids = (text: string | undefined) =>
  [...(text ?? "").matchAll(/^id: (.*)$/gm)].map(([, id]) => id);

// Each of 64 readers could have 4 MB wait for it; now what waits is remembered
// once for all of them.
Deno.test("EventLog queues nothing for a slow reader, and ends it when it is too far behind", async () => {
  const { log, change } = made();
  const silent = readerOf(log.read({}));
  const slow = readerOf(log.read({}));
  assert.match((await slow.next())!, /^retry: 500\n/);
  change(400);
  for (let i = 0; i < 1000; i++) log.figures({ second: i });
  // What it has missed comes together, and of the figures the last.
  const seen: (string | undefined)[] = [];
  while (seen.length < 400) {
    const text = (await slow.next())!;
    assert.ok(text.length <= 16 * 1024);
    seen.push(...ids(text));
  }
  assert.deepEqual([seen[0], seen.at(-1), seen.length], [
    "10-1",
    "10-400",
    400,
  ]);
  assert.match((await slow.next())!, /^event: figures\ndata: \{"second":999\}/);
  change(200);
  assert.equal(ids(await slow.next())[0], "10-401");
  assert.match((await silent.next())!, /^retry: 500\n/);
  assert.equal(await silent.next(), undefined);
  assert.equal(log.readers, 1);
  log.stop();
});

Deno.test("EventLog ends the oldest reader above 64, with a later reconnection time", async () => {
  const { log, change } = made();
  const readers = [];
  for (let i = 0; i < 64; i++) readers.push(readerOf(log.read({})));
  const [oldest, second] = readers;
  await oldest!.next();
  await second!.next();
  const waiting = oldest!.next();
  const newest = readerOf(log.read({}));
  assert.equal(log.readers, 64);
  assert.equal(await waiting, "retry: 10000\n\n");
  assert.equal(await oldest!.next(), undefined);
  await newest.next();
  change();
  assert.deepEqual(ids(await newest.next()), ["10-1"]);
  assert.deepEqual(ids(await second!.next()), ["10-1"]);
  for (const reader of readers.slice(1)) await reader.leave();
  assert.equal(log.readers, 1);
  log.stop();
  assert.equal(await newest.next(), undefined);
  assert.equal(log.readers, 0);
});

Deno.test("EventLog continues after a known id, and restarts after an unknown one", async () => {
  const { log, change } = made();
  change(5);
  const cases: [after: string | undefined, past: boolean, from: number][] = [
    [undefined, true, 1],
    [undefined, false, 6],
    ["", true, 1],
    ["10-3", false, 4],
    ["10-5", false, 6],
    ["10-0", false, 1],
    ["10-6", false, 1],
    ["zz-3", false, 1],
    ["10-3.5", false, 1],
    ["10--3", false, 1],
    ["10-1e1", false, 1],
    ["10-", false, 1],
    ["-", false, 1],
    ["10-" + "9".repeat(64 * 1024), false, 1],
    ["-".repeat(64 * 1024), false, 1],
  ];
  for (const [after, past, from] of cases) {
    const reader = readerOf(log.read({ after, past, figures: false }));
    await reader.next();
    const wanted = Array.from({ length: 6 - from }, (_, i) => `10-${from + i}`);
    if (wanted.length > 0) {
      assert.deepEqual(ids(await reader.next()), wanted, after?.slice(0, 20));
    }
    await reader.leave();
  }
  log.stop();
});

Deno.test("EventLog keeps a silent connection alive by a comment", async () => {
  const { log, clock } = made();
  const reader = readerOf(log.read({ figures: false }));
  await reader.next();
  const next = reader.next();
  log.figures({});
  await clock.advance(15_000);
  assert.equal(await next, ":\n\n");
  log.stop();
});
