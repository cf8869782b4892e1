// Does the client read the same over real sockets as a second strict reader? As
// fuzz_answers.ts, with persistent connections, on both runtimes:
// deno run -A testing/fuzz_sockets.ts [COUNT] [SEED]
// bun run testing/fuzz_sockets.ts [COUNT] [SEED]

import assert from "node:assert/strict";
import net from "node:net";
import process from "node:process";
import { setImmediate } from "node:timers";
import { bytesOf, latin1 } from "../http/bytes.ts";
import { Unanswered } from "../http/call.ts";
import { Client } from "../http/client.ts";
import { connectBun } from "../runtime/bun/connect.ts";
import { systemClock } from "../base/clock.ts";
import { connectDeno } from "../runtime/deno/connect.ts";
import { textOf } from "./client_rig.ts";
import { cutAtRandom, seeded } from "./random.ts";
import { mutated } from "./mutated_answer.ts";
import { type Reference, referenceOf } from "./reference_answer.ts";

const count = Number(process.argv[2] ?? 10_000);
const seed = Number(process.argv[3] ?? Date.now() % 1e9);
const random = seeded(seed);
/** Requests at a time. */
const ABREAST = 8;

/** The response to each request in flight. */
const sent = new Map<
  number,
  { answer: Uint8Array<ArrayBuffer>; wanted: Reference }
>();

/** Answers each request with what was prepared for it, in pieces. */
const server = net.createServer((socket) => {
  socket.on("error", () => {});
  socket.setNoDelay(true);
  let head = "";
  socket.on("data", async (bytes) => {
    head += latin1(bytes as unknown as Uint8Array<ArrayBuffer>);
    if (!head.includes("\r\n\r\n")) return;
    const [, id] = /^\S+ \/(\d+) /.exec(head)!;
    head = "";
    const prepared = sent.get(Number(id));
    // Bytes after the last response were read as a response, and refused.
    if (prepared === undefined) {
      socket.destroy();
      return;
    }
    const { answer, wanted } = prepared;
    // A whole one in one piece often enough, and pauses between pieces.
    const pieces = random() < 0.3 ? [answer] : cutAtRandom(answer, random);
    const pauses = random() < 0.3;
    for (const piece of pieces) {
      if (socket.destroyed) return;
      socket.write(piece);
      if (pauses) await new Promise((resolve) => setImmediate(resolve));
    }
    // A response without framing, or truncated, ends with its connection.
    if (wanted.kind !== "answer" || !wanted.persists) socket.end();
  });
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as net.AddressInfo;

const connect = "Bun" in globalThis ? connectBun : connectDeno;
const client = new Client({
  timers: { ...systemClock, later: (callback) => void setImmediate(callback) },
  wholeUpTo: 64 * 1024,
  lingers: false,
  reuses: false,
});
let connections = 0;
const pool = client.pool((signal) => {
  connections++;
  const to = { hostname: "127.0.0.1", port, certifiedAs: undefined };
  return connect(to, { signal, limitMs: 5_000 });
});

let next = 0;
let refused = 0;
let stricter = 0;

/** Fields without those that are repaired, which may differ between both. */
function others(fields: readonly (readonly [string, string])[]): string {
  return JSON.stringify(fields.filter(([name]) => name !== "content-length"));
}

async function ask(id: number): Promise<void> {
  // Half of them are valid, so that many connections are kept.
  const { text, method } = mutated(random, random() < 0.5 ? 0 : 3);
  // Each contains its request's id, so that a mix-up is detected.
  const marked = text.replace("\r\n", `\r\nX-Is: ${id}\r\n`);
  const wanted = referenceOf(marked, method);
  sent.set(id, { answer: bytesOf(marked), wanted });
  const said = (given: unknown) =>
    `seed ${seed}, ${id}: ${method} ${JSON.stringify(marked)}: ` +
    `${JSON.stringify(wanted)}, but ${JSON.stringify(given)}`;
  try {
    const answer = await pool.send({
      method,
      target: `/${id}`,
      fields: [["host", "backend"]],
      repeatable: false,
      signal: AbortSignal.timeout(10_000),
    });
    const body = await textOf(answer);
    compare(wanted, { ...answer, body }, said);
  } catch (error) {
    if (!(error instanceof Unanswered)) throw error;
    refused++;
    if (wanted.kind === "answer") stricter++;
  } finally {
    sent.delete(id);
  }
}

function compare(
  wanted: Reference,
  given: { status: number; fields: [string, string][]; body: string },
  said: (given: unknown) => string,
): void {
  assert.equal(wanted.kind, "answer", said(given));
  if (wanted.kind !== "answer") return;
  assert.equal(given.status, wanted.status, said(given));
  assert.equal(given.body, wanted.body, said(given));
  assert.equal(others(given.fields), others(wanted.fields), said(given));
}

async function row(): Promise<void> {
  while (next < count) await ask(next++);
}

try {
  await Promise.all(Array.from({ length: ABREAST }, row));
  console.log(
    `seed ${seed}: ${count} answers on ${connections} connections, ` +
      `${refused} refused, none that the other reading refuses was passed on ` +
      `and none was another's, ${stricter} refused that it reads`,
  );
} finally {
  client.close(new Error("over"));
  server.close();
}
