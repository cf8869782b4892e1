/**
 * RESUME: a broken answer is carried on from another backend where that is
 * provably the same, and is visibly broken where it is not.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";

const MB = 1024 * 1024;
// SLUICE_LONG=1 is the long form.
const SIZE = (Deno.env.get("SLUICE_LONG") === "1" ? 200 : 24) * MB;
const PIECE = 64 * 1024;

/** Bytes of which no two pieces are equal, so that a shift would show. */
function fileOf(size: number): Uint8Array<ArrayBuffer> {
  const file = new Uint8Array(size);
  const view = new DataView(file.buffer);
  for (let at = 0; at + 4 <= size; at += 4) view.setUint32(at, at * 2654435761);
  return file;
}

const FILE = fileOf(SIZE);

interface Behaviour {
  /** Resets the connection after so many bytes of each answer. */
  breakAfter?: number;
  /** The same for one answer each, until there are no more. */
  breaks?: number[];
  /** Is dead from then on. */
  dies?: boolean;
  etag?: string;
  /** Answers with the whole file, whatever was asked for. */
  ignoresRange?: boolean;
}

/** A file server that knows ranges, and breaks off as it is told. */
function fileServer(behaviour: Behaviour): Promise<RawBackend> {
  let dead = false;
  return rawBackend(async (conn, request) => {
    if (dead) return conn.reset();
    const { breaks, breakAfter = breaks?.shift() ?? Infinity } = behaviour;
    const { etag = '"v1"', ignoresRange } = behaviour;
    const range = /^bytes=(\d+)-$/.exec(request.header("range") ?? "");
    const partial = range !== null && !ignoresRange &&
      request.header("if-range") === etag;
    const from = partial ? Number(range[1]) : 0;
    await conn.send(
      `HTTP/1.1 ${partial ? "206 Partial Content" : "200 OK"}\r\n` +
        `ETag: ${etag}\r\nContent-Length: ${SIZE - from}\r\n` +
        (partial
          ? `Content-Range: bytes ${from}-${SIZE - 1}/${SIZE}\r\n`
          : "") +
        "\r\n",
    );
    const until = Math.min(SIZE, from + breakAfter);
    for (let at = from; at < until; at += PIECE) {
      await conn.send(FILE.subarray(at, Math.min(at + PIECE, until)));
    }
    if (until === SIZE) return;
    dead = behaviour.dies === true;
    await conn.reset();
  });
}

const ON = { RESUME: "on", HEALTH_PATH: "off" };

forBoth("a download over three deaths arrives whole", {
  timeoutMs: 60_000,
}, async (runtime) => {
  // Whoever answers first breaks first: a pool begins where it likes.
  const behaviour: Behaviour = { breaks: [7 * MB, 5 * MB, 6 * MB] };
  await using one = await fileServer(behaviour);
  await using two = await fileServer(behaviour);
  await using three = await fileServer(behaviour);
  const servers = [one, two, three];
  await using proxy = await startProxy(runtime, {
    env: {
      ...ON,
      ...ADMIN_ENV,
      BACKENDS: servers.map(({ url }) => url).join(","),
    },
  });
  const admin = await adminUrl(proxy);
  const answer = await rawRequest(proxy.port, requestText("GET", "/file"), {
    timeoutMs: 55_000,
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.complete, true);
  const hash = (data: Uint8Array) =>
    createHash("sha256").update(data).digest("hex");
  assert.equal(hash(answer.body), hash(FILE));
  const ranges = servers.flatMap(({ requests }) => requests)
    .map((request) => request.header("range"));
  assert.equal(ranges.length, 4);
  assert.equal(ranges.filter((range) => range !== undefined).length, 3);
  // Each that went on was counted: only the first attempt was.
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  const counted = (code: number) =>
    [...metrics.matchAll(
      new RegExp(
        `^sluice_backend_requests_total\\{.*code="${code}"\\} (\\d+)$`,
        "gm",
      ),
    )].reduce((sum, [, count]) => sum + Number(count), 0);
  assert.deepEqual([counted(200), counted(206)], [1, 3]);
});

for (
  const [why, other] of [
    ["another version", { etag: '"v2"' }],
    ["the whole file again", { ignoresRange: true }],
  ] as const
) {
  forBoth(`a download is not carried on with ${why}`, async (runtime) => {
    await using one = await fileServer({ breakAfter: 2 * MB, dies: true });
    await using two = await fileServer(other);
    await using proxy = await startProxy(runtime, {
      env: { ...ON, TIMEOUT: "1s", BACKENDS: `${one.url},${two.url} backup` },
    });
    const answer = await rawRequest(proxy.port, requestText("GET", "/file"));
    // Bun says nothing at all when a reset has thrown away what had come.
    assert.ok(answer.status === 200 || answer.status === 0);
    assert.equal(answer.complete, false);
    // What came is the beginning of the first version.
    const begun = FILE.subarray(0, answer.body.byteLength);
    assert.equal(Buffer.compare(answer.body, begun), 0);
    assert.equal(two.requests.length, 1);
  });
}

forBoth("without RESUME a broken download stays broken", async (runtime) => {
  await using one = await fileServer({ breakAfter: 2 * MB });
  await using two = await fileServer({});
  await using proxy = await startProxy(runtime, {
    env: { HEALTH_PATH: "off", BACKENDS: `${one.url},${two.url} backup` },
  });
  const answer = await rawRequest(proxy.port, requestText("GET", "/file"));
  assert.equal(answer.complete, false);
  assert.equal(two.requests.length, 0);
});

/**
 * An event source that sends `count` events, and breaks in the middle of the
 * next one when it is told to.
 */
function eventSource(
  count: number,
  { ids = true, until = Promise.resolve() }: {
    ids?: boolean;
    until?: Promise<void>;
  } = {},
): Promise<RawBackend> {
  return rawBackend(async (conn, request) => {
    const from = Number(request.header("last-event-id") ?? "0");
    await conn.send(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" +
        "Transfer-Encoding: chunked\r\n\r\n",
    );
    for (let n = from + 1; n <= from + count; n++) {
      await conn.chunk(`${ids ? `id: ${n}\n` : ""}data: event ${n}\n\n`);
    }
    await conn.chunk(`id: ${from + count + 1}\ndata: ha`);
    await until;
    await conn.reset();
  });
}

const EVENTS = requestText("GET", "/events", {
  headers: [["Accept", "text/event-stream"]],
});

/** Reads a stream until it holds a text. */
async function readTo(client: RawConnection, text: string): Promise<string> {
  let seen = "";
  while (!seen.includes(text)) {
    const piece = await client.readChunkOrBytes();
    assert.ok(piece !== null, `the stream ended after ${seen}`);
    seen += new TextDecoder().decode(piece.data);
  }
  return seen;
}

forBoth("an event stream is resumed after its last event", async (runtime) => {
  const first = Promise.withResolvers<void>();
  await using one = await eventSource(3, { until: first.promise });
  const never = Promise.withResolvers<void>();
  await using two = await eventSource(4, { until: never.promise });
  await using proxy = await startProxy(runtime, {
    env: { ...ON, BACKENDS: `${one.url},${two.url} backup` },
  });
  const client = await RawConnection.connect(proxy.port);
  await client.write(EVENTS);
  assert.equal((await client.readHead({ method: "GET" })).status, 200);
  const before = await readTo(client, "data: event 3\n\n");
  first.resolve();
  const after = await readTo(client, "data: event 7\n\n");
  const numbers = [...(before + after).matchAll(/^data: event (\d+)$/gm)]
    .map(([, n]) => Number(n));
  assert.deepEqual(numbers, [1, 2, 3, 4, 5, 6, 7], "each once and in order");
  assert.equal(two.requests[0]!.header("last-event-id"), "3");
  await client.close();
  never.resolve();
});

forBoth("an event stream without ids breaks visibly", async (runtime) => {
  const first = Promise.withResolvers<void>();
  await using one = await eventSource(3, { ids: false, until: first.promise });
  await using two = await eventSource(3);
  await using proxy = await startProxy(runtime, {
    env: { ...ON, BACKENDS: `${one.url},${two.url} backup` },
  });
  const client = await RawConnection.connect(proxy.port);
  await client.write(EVENTS);
  await client.readHead({ method: "GET" });
  await readTo(client, "data: event 3\n\n");
  first.resolve();
  await assert.rejects(readTo(client, "data: event 4\n\n"));
  await client.close();
  assert.equal(two.requests.length, 0);
});
