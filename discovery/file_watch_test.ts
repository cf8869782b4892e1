import assert from "node:assert/strict";
import { FakeClock } from "../testing/clock.ts";
import { FileWatch } from "./file_watch.ts";

function watched() {
  const clock = new FakeClock();
  const files: Record<string, string> = { a: "one", b: "one" };
  const heard: (readonly string[])[] = [];
  const failures: string[] = [];
  const watch = new FileWatch({
    paths: ["a", "b"],
    texts: ["one", "one"],
    clock,
    changed: (texts) => heard.push(texts),
    failed: (reason) => failures.push(reason),
    read: (path) =>
      path in files
        ? Promise.resolve(files[path]!)
        : Promise.reject(new Error(`no ${path}`)),
  });
  return { clock, files, heard, failures, watch };
}

Deno.test("FileWatch passes on all texts when one has changed", async () => {
  const { clock, files, heard, watch } = watched();
  files["b"] = "two";
  await clock.advance(2_000);
  assert.deepEqual(heard, [["one", "two"]]);
  watch.stop();
  assert.equal(clock.pending, 0);
});

// certbot turns one link after the other: half a second apart, and the old key
// would have been tried with the new certificate.
Deno.test("FileWatch waits until no file changes any more", async () => {
  const { clock, files, heard, watch } = watched();
  files["a"] = "two";
  await clock.advance(500);
  files["b"] = "two";
  await clock.advance(500);
  assert.deepEqual(heard, []);
  await clock.advance(500);
  assert.deepEqual(heard, [["two", "two"]]);
  watch.stop();
});

Deno.test("FileWatch does not read again while a file system hangs", async () => {
  const clock = new FakeClock();
  let reads = 0;
  const { promise, resolve } = Promise.withResolvers<string>();
  const watch = new FileWatch({
    paths: ["a"],
    texts: ["one"],
    clock,
    changed: () => {},
    failed: () => {},
    read: () => {
      reads++;
      return promise;
    },
  });
  await clock.advance(5_000);
  assert.equal(reads, 1);
  resolve("one");
  await clock.advance(500);
  assert.equal(reads, 2);
  watch.stop();
});

Deno.test("FileWatch passes on nothing while a file is missing", async () => {
  const { clock, files, heard, failures, watch } = watched();
  files["a"] = "two";
  delete files["b"];
  await clock.advance(5_000);
  assert.deepEqual(heard, []);
  assert.deepEqual(failures, ["no b"]);
  await watch.reload();
  assert.deepEqual(failures, ["no b", "no b"]);
  files["b"] = "two";
  await clock.advance(1_000);
  assert.deepEqual(heard, [["two", "two"]]);
  watch.stop();
});
