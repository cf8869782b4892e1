/**
 * How long a request waits while a proxy has something else to do.
 *
 * @module
 */

import assert from "node:assert/strict";
import { RawConnection, requestText } from "./client.ts";

/** Rounds of which one must succeed: a busy machine disturbs each in turn. */
const ROUNDS = 4;

/**
 * Does something, and meanwhile sends one GET after the other on its own
 * connection. Returns the longest response time, in milliseconds.
 */
export async function longestWait(
  port: number,
  doing: () => Promise<unknown>,
): Promise<number> {
  await using conn = await RawConnection.connect(port, { timeoutMs: 30_000 });
  const get = requestText("GET", "/beside");
  let longest = 0;
  const ask = async () => {
    const from = performance.now();
    await conn.write(get);
    const { status } = await conn.readResponse();
    assert.equal(status, 200);
    longest = Math.max(longest, performance.now() - from);
  };
  await ask();
  longest = 0;
  let over = false;
  const done = doing().finally(() => over = true);
  // It may fail while a request is waited for.
  done.catch(() => {});
  while (!over) await ask();
  // Once more, for work that continues afterwards.
  await ask();
  await done;
  return longest;
}

/**
 * Fails if a request waits longer by 50 ms or more while something is done than
 * while something harmless of the same kind is.
 */
export async function letsOthersPass(
  what: string,
  port: number,
  doing: () => Promise<unknown>,
  harmless: () => Promise<unknown>,
): Promise<void> {
  const all: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const without = await longestWait(port, harmless);
    const beside = await longestWait(port, doing);
    if (beside < without + 50) return;
    all.push(`${beside.toFixed()} ms, ${without.toFixed()} ms without`);
  }
  assert.fail(`${what}: a request waited ${all.join("; ")}`);
}
