// What `DenoServer` says of Deno's server cannot be asked of it: it has to be
// seen, or a new version of Deno would send bodies with holes.

import assert from "node:assert/strict";
import { DenoServer } from "./server.ts";

const KB = 1024;
const CHUNKS = 40;

/** Chunks of odd sizes, each of one byte again and again. */
function chunkOf(at: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(at % 3 === 0 ? 256 * KB : 1_000 + at * 777).fill(at);
}

/** A body whose chunks are detached as soon as the next one is asked for. */
function detaching(): ReadableStream<Uint8Array> {
  let at = 0;
  let last: Uint8Array<ArrayBuffer> | undefined;
  return new ReadableStream({
    pull(controller) {
      last?.buffer.transfer(0);
      if (at === CHUNKS) return controller.close();
      controller.enqueue(last = chunkOf(at++));
    },
  }, { highWaterMark: 0 });
}

const length = Array.from({ length: CHUNKS }, (_, at) => chunkOf(at).length)
  .reduce((sum, size) => sum + size);

function check(body: Uint8Array): void {
  assert.equal(body.length, length);
  let from = 0;
  for (let at = 0; at < CHUNKS; at++) {
    const { length } = chunkOf(at);
    const part = body.subarray(from, from += length);
    assert.ok(part.every((byte) => byte === at), `chunk ${at}`);
  }
}

Deno.test("Deno's server keeps a chunk that is detached when it asks for the next", async () => {
  assert.equal(new DenoServer().refersToChunks, true);
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    ({ url }) =>
      new Response(detaching(), {
        headers: url.endsWith("/sized")
          ? { "content-length": String(length) }
          : {},
      }),
  );
  const { port } = server.addr as Deno.NetAddr;
  for (const http2 of [false, true]) {
    using client = Deno.createHttpClient({ http1: !http2, http2 });
    for (const path of ["sized", "chunked"]) {
      const response = await fetch(`http://127.0.0.1:${port}/${path}`, {
        client,
      });
      check(await response.bytes());
    }
  }
});
