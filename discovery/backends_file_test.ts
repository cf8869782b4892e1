import assert from "node:assert/strict";
import { FakeClock } from "../testing/clock.ts";
import { BackendsFile } from "./backends_file.ts";

function watched() {
  const clock = new FakeClock();
  const file: { text: string | Error } = { text: "one" };
  const heard: string[] = [];
  const log: string[] = [];
  let reads = 0;
  const watcher = new BackendsFile({
    path: "/backends",
    text: "one",
    clock,
    changed: (text) => heard.push(text),
    log: (line) => log.push(line),
    read: () => {
      reads++;
      return file.text instanceof Error
        ? Promise.reject(file.text)
        : Promise.resolve(file.text);
    },
  });
  return { clock, file, heard, log, watcher, reads: () => reads };
}

Deno.test("BackendsFile passes on a changed text, once", async () => {
  const { clock, file, heard, watcher } = watched();
  await clock.advance(5_000);
  assert.deepEqual(heard, []);
  file.text = "two";
  await clock.advance(5_000);
  assert.deepEqual(heard, ["two"]);
  watcher.stop();
  assert.equal(clock.pending, 0);
});

Deno.test("BackendsFile waits for a file that is still being written", async () => {
  const { clock, file, heard, watcher } = watched();
  for (const text of ["", "t", "tw", "two"]) {
    file.text = text;
    await clock.advance(500);
  }
  assert.deepEqual(heard, []);
  await clock.advance(500);
  assert.deepEqual(heard, ["two"]);
  watcher.stop();
});

Deno.test("BackendsFile#reload() passes on the text at once, even if unchanged", async () => {
  const { file, heard, watcher } = watched();
  await watcher.reload();
  file.text = "two";
  await watcher.reload();
  assert.deepEqual(heard, ["one", "two"]);
  watcher.stop();
});

Deno.test("BackendsFile logs once that the file cannot be read, and continues", async () => {
  const { clock, file, heard, log, watcher, reads } = watched();
  file.text = new Error("gone");
  await clock.advance(5_000);
  assert.equal(log.length, 1);
  assert.match(log[0]!, /cannot be read \(gone\)/);
  const before = reads();
  file.text = "two";
  await clock.advance(1_000);
  assert.ok(reads() > before);
  assert.deepEqual(heard, ["two"]);
  watcher.stop();
});
