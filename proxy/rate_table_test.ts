import assert from "node:assert/strict"; // built in to both runtimes
import { seeded } from "../testing/random.ts";
import { hashAddress } from "./client_key.ts";
import { KeyedHash } from "./keyed_hash.ts";
import { type Rate, RATE_TABLE_BYTES, RateTable } from "./rate_table.ts";

/** A table whose keys are addresses. */
class Clients {
  readonly memory = new ArrayBuffer(RATE_TABLE_BYTES);
  readonly table: RateTable;
  readonly #hash: KeyedHash;

  constructor(rate: Rate, seed = 1) {
    this.table = new RateTable(rate, this.memory);
    this.table.seed.set([seed, seed + 1]);
    this.#hash = new KeyedHash(this.table.seed);
  }

  /** 0, or the milliseconds to wait. */
  take(address: string, now: number): number {
    hashAddress(this.#hash, address);
    return this.table.take(this.#hash, now);
  }
}

/** The address of a number, none of which is in another's /64. */
function v4(n: number): string {
  return `${n >>> 24}.${n >>> 16 & 255}.${n >>> 8 & 255}.${n & 255}`;
}

Deno.test("RateTable gives a burst, and then one after the other", () => {
  const clients = new Clients({ requests: 50, perMs: 1_000 });
  for (let i = 0; i < 50; i++) assert.equal(clients.take("10.0.0.1", 5), 0);
  // The next token is there after a fiftieth of a second.
  assert.equal(clients.take("10.0.0.1", 5), 20);
  assert.equal(clients.take("10.0.0.1", 15), 10);
  assert.equal(clients.take("10.0.0.1", 25), 0);
  assert.equal(clients.take("10.0.0.1", 25), 20);
  // What is refused costs nothing, and another one has all of its own.
  for (let i = 0; i < 50; i++) assert.equal(clients.take("10.0.0.2", 25), 0);
  // A full bucket holds no more than a burst, however long it was left alone.
  for (let i = 0; i < 50; i++) assert.equal(clients.take("10.0.0.1", 1e9), 0);
  assert.notEqual(clients.take("10.0.0.1", 1e9), 0);
});

Deno.test("RateTable gives no key more than rate × time and a burst, whatever comes when", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = seeded(seed);
    const requests = 1 + Math.floor(random() * (seed % 2 === 0 ? 9 : 900));
    const perMs = [1, 1_000, 60_000, 3_600_000][seed % 4]!;
    const clients = new Clients({ requests, perMs }, seed);
    const times: number[] = [];
    let now = random() * 1e9;
    for (let i = 0; i < 3_000; i++) {
      // Some at the same moment, most within a few tokens, some after a pause.
      const kind = random();
      now += kind < 0.3
        ? 0
        : random() * (kind < 0.95 ? 4 : 400) * perMs / requests;
      if (clients.take("10.0.0.1", now) === 0) times.push(now);
    }
    assert.ok(times.length > 100);
    for (let first = 0; first < times.length; first++) {
      for (
        let last = first;
        last < Math.min(times.length, first + 2 * requests + 2);
        last++
      ) {
        const most = (times[last]! - times[first]!) * requests / perMs +
          requests + 0.01;
        assert.ok(last - first + 1 <= most, `seed ${seed}`);
      }
    }
  }
});

Deno.test("RateTable never refuses a key that stays under its rate", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seeded(seed);
    const requests = 1 + Math.floor(random() * 1_000);
    const perMs = [1_000, 60_000][seed % 2]!;
    const clients = new Clients({ requests, perMs }, seed);
    let now = 0;
    // In bursts of as many as there may be at once, each after as long a rest.
    for (let burst = 0; burst < 20; burst++) {
      for (let i = 0; i < requests; i++) {
        assert.equal(clients.take("2001:db8::1", now), 0);
        now += random() * perMs / requests;
        // Others ask too, and much too often.
        for (let j = 0; j < 3; j++) clients.take(v4(j), now);
      }
      now += perMs;
    }
    // And evenly, at its rate to the token.
    for (let i = 0; i < 5_000; i++) {
      assert.equal(clients.take("2001:db8::1", now), 0, `seed ${seed}`);
      now += perMs / requests;
    }
  }
});

Deno.test("RateTable gives a client at ten times its rate that rate, among 10,000,000 addresses", () => {
  // A flood of addresses, each of which is new, must neither grow the memory nor
  // flush out what is known of one that asks too often, nor refuse another one.
  const clients = new Clients({ requests: 50, perMs: 1_000 });
  const { byteLength } = clients.memory;
  let greedy = 0;
  let modest = 0;
  let others = 0;
  const seconds = 10;
  for (let i = 0; i < 1_000_000 * seconds; i++) {
    const now = i / 1_000;
    if (i % 2_000 === 0 && clients.take("192.0.2.1", now) === 0) greedy++;
    if (i % 25_000 === 0 && clients.take("192.0.2.2", now) === 0) modest++;
    if (clients.take(v4(0x0b000000 + i), now) !== 0) others++;
  }
  // A burst at first, and then its rate.
  assert.ok(Math.abs(greedy - 50 - 50 * seconds) <= 5, String(greedy));
  assert.equal(modest, 40 * seconds);
  // None of those that asked once was refused.
  assert.equal(others, 0);
  assert.equal(clients.memory.byteLength, byteLength);
  assert.equal(byteLength, RATE_TABLE_BYTES);
  assert.ok(byteLength < 3.1 * 2 ** 20);
});

Deno.test("RateTable drops the fullest bucket of a full set", () => {
  // One an hour: each address that came by needs its slot for an hour, and there
  // are four times as many as slots.
  const clients = new Clients({ requests: 4, perMs: 4 * 3_600_000 });
  for (let i = 0; i < 4; i++) assert.equal(clients.take("192.0.2.1", i), 0);
  let let_in = 0;
  for (let i = 0; i < 1_000_000; i++) {
    clients.take(v4(0x0b000000 + i), 10 + i);
    if (i % 1_000 === 0 && clients.take("192.0.2.1", 10 + i) === 0) let_in++;
  }
  // It had used all, the others one each: its bucket is never the fullest.
  assert.equal(let_in, 0);
});

Deno.test("RateTable ignores times of another clock", () => {
  const clients = new Clients({ requests: 2, perMs: 1_000 });
  // A worker whose clock is an hour ahead has used up a bucket.
  for (let i = 0; i < 2; i++) clients.take("10.0.0.1", 3_600_000);
  assert.equal(clients.take("10.0.0.1", 0), 0);
  assert.equal(clients.take("10.0.0.1", 0), 0);
  assert.notEqual(clients.take("10.0.0.1", 0), 0);
});

Deno.test("RateTable shares its buckets by its memory", () => {
  const rate = { requests: 10, perMs: 1_000 };
  const one = new Clients(rate);
  const other = new RateTable(rate, one.memory);
  const hash = new KeyedHash(other.seed);
  hashAddress(hash, "10.0.0.1");
  let given = 0;
  for (let i = 0; i < 20; i++) {
    if (one.take("10.0.0.1", i) === 0) given++;
    if (other.take(hash, i) === 0) given++;
  }
  assert.equal(given, 10);
});
