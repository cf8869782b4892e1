import assert from "node:assert/strict";
import { Pool } from "../balancer.ts";
import { backendJson } from "./backend_json.ts";
import { LastChanges } from "./last_changes.ts";

Deno.test("LastChanges has the start of a backend's state, and the reason", () => {
  const pool = new Pool(["http://a.test"]);
  const [a] = pool.backends;
  let now = 1_000;
  const changes = new LastChanges(pool, () => now);
  const told = () => {
    const { state, since, reason } = backendJson(
      a!,
      undefined,
      changes.of(a!),
    );
    return [state, since, reason];
  };
  assert.deepEqual(told(), ["up", null, null]);
  pool.setWeight(a!, 3);
  assert.deepEqual(told(), ["up", null, null], "a weight is no state");
  a!.up = false;
  pool.emit({ type: "down", backend: a!, reason: "/health: status 500" });
  const down = "1970-01-01T00:00:01.000Z";
  assert.deepEqual(told(), ["down", down, "/health: status 500"]);
  // A change that is none of the state's leaves both.
  now = 2_000;
  pool.setWeight(a!, 7);
  assert.deepEqual(told(), ["down", down, "/health: status 500"]);
  a!.up = true;
  pool.emit({ type: "up", backend: a!, reason: "status 200" });
  const up = "1970-01-01T00:00:02.000Z";
  assert.deepEqual(told(), ["up", up, "status 200"]);
  now = 3_000;
  pool.drain(a!);
  assert.deepEqual(told(), ["draining", "1970-01-01T00:00:03.000Z", null]);
  const b = pool.add({ url: "http://b.test" });
  assert.equal(changes.of(b)?.at, 3_000);
  changes.stop();
  pool.drain(a!, false);
  assert.equal(changes.of(a!)?.at, 3_000);
});
