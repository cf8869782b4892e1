import assert from "node:assert/strict";
import { Abort } from "./signal.ts";

Deno.test("Abort tells its listeners once, except those that were removed", () => {
  const abort = new Abort();
  const told: string[] = [];
  const listener = (name: string) => ({
    handleEvent: () => told.push(`${name} ${abort.aborted} ${abort.reason}`),
  });
  const [one, two, three] = ["one", "two", "three"].map(listener);
  abort.addEventListener("abort", one!);
  abort.addEventListener("abort", two!);
  abort.addEventListener("abort", three!);
  abort.removeEventListener("abort", two!);
  abort.removeEventListener("abort", two!);
  assert.equal(abort.aborted, false);
  abort.abort("left");
  abort.abort("again");
  assert.deepEqual(told, ["one true left", "three true left"]);
  assert.equal(abort.reason, "left");
});

Deno.test("Abort tells each listener, also if one removes another", () => {
  const abort = new Abort();
  let told = 0;
  const last = { handleEvent: () => told++ };
  abort.addEventListener("abort", {
    handleEvent: () => abort.removeEventListener("abort", last),
  });
  abort.addEventListener("abort", last);
  abort.abort("left");
  assert.equal(told, 1);
});

Deno.test("Abort has an AbortSignal, taken before or after it has aborted", () => {
  const reason = new Error("left");
  const [early, late] = [new Abort(), new Abort()];
  const { signal } = early;
  assert.equal(signal.aborted, false);
  early.abort(reason);
  late.abort(reason);
  assert.equal(signal.reason, reason);
  assert.equal(early.signal, signal);
  assert.equal(late.signal.reason, reason);
  assert.equal(late.signal.aborted, true);
});
