/**
 * Two strict readings of the same answers, held against each other.
 *
 * @module
 */

import assert from "node:assert/strict";
import { bytesOf } from "../http/bytes.ts";
import { Unanswered } from "../http/call.ts";
import { ClientRig, textOf } from "./client_rig.ts";
import { settle } from "./clock.ts";
import { DELIVERIES, type Delivery } from "./fake_connection.ts";
import { cutAtRandom, seeded } from "./random.ts";
import { mutated } from "./mutated_answer.ts";
import { referenceOf } from "./reference_answer.ts";

/** How often the client refused, and where the other reading did not. */
export interface Comparison {
  readonly refused: number;
  readonly stricter: number;
  /** Number of responses after which the connection was kept. */
  readonly kept: number;
}

/** What the client made of an answer. */
type Made =
  | {
    kind: "answer";
    status: number;
    fields: readonly (readonly [string, string])[];
    body: string;
    persists: boolean;
  }
  | { kind: "refused"; reason: string };

/** Lets the client read a response in several chunks, followed by the end. */
async function made(
  text: string,
  method: string,
  delivery: Delivery,
  random: () => number,
): Promise<Made> {
  const rig = new ClientRig(delivery);
  const { answer } = await rig.send({ method });
  const { last } = rig;
  const reading = answer.then(async (given) => ({
    status: given.status,
    fields: given.fields,
    body: await textOf(given),
  }));
  reading.catch(() => {});
  const pieces = random() < 0.3
    ? [bytesOf(text)]
    : cutAtRandom(bytesOf(text), random);
  for (const piece of pieces) last.receive(piece);
  await settle();
  const persists = rig.pool.idle === 1;
  last.finish();
  try {
    return { kind: "answer", ...await reading, persists };
  } catch (error) {
    assert.ok(error instanceof Unanswered, String(error));
    return { kind: "refused", reason: error.reason };
  }
}

/** Fields without those that are repaired, which may differ between both. */
function others(fields: readonly (readonly [string, string])[]): string {
  return JSON.stringify(fields.filter(([name]) => name !== "content-length"));
}

/**
 * Reads so many mutated responses with the client and with the reference.
 *
 * @throws {AssertionError} At the first that the client accepts and the
 * reference refuses, or that they read differently.
 */
export async function compareAnswers(
  seed: number,
  count: number,
): Promise<Comparison> {
  const random = seeded(seed);
  let refused = 0;
  let stricter = 0;
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const { text, method } = mutated(random);
    const delivery = DELIVERIES[i % 2]!;
    const wanted = referenceOf(text, method);
    const given = await made(text, method, delivery, random);
    const said = () =>
      `seed ${seed}, ${i}: ${method} ${JSON.stringify(text)}: ` +
      `${JSON.stringify(wanted)}, but ${JSON.stringify(given)}`;
    if (given.kind === "refused") {
      refused++;
      if (wanted.kind === "answer") stricter++;
      continue;
    }
    // What one reader refuses the other must not pass on.
    assert.equal(wanted.kind, "answer", said());
    if (wanted.kind !== "answer") continue;
    assert.equal(given.status, wanted.status, said());
    assert.equal(given.body, wanted.body, said());
    assert.equal(others(given.fields), others(wanted.fields), said());
    // A reader of the passed fields must not see a length next to chunked.
    const names = given.fields.map(([name]) => name);
    const both = names.includes("content-length") &&
      names.includes("transfer-encoding") && method !== "HEAD";
    assert.equal(both, false, said());
    // To keep one less is no harm.
    if (given.persists) assert.equal(wanted.persists, true, said());
    if (given.persists) kept++;
  }
  return { refused, stricter, kept };
}
