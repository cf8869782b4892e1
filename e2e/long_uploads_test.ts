/**
 * An upload that takes longer than the time limit for a response, and a backend
 * that takes long after an upload. In a file of its own, since it takes 45 s.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import { RawConnection } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { delay } from "./harness/wait.ts";

function head(length: number): string {
  return "POST / HTTP/1.1\r\nHost: a.test\r\n" +
    `Content-Length: ${length}\r\n\r\n`;
}

forBoth(
  "an upload of 45 s arrives whole, and one to a backend that thinks for 45 s is answered",
  { timeoutMs: 120_000 },
  async (runtime) => {
    // A steady upload was cut after 30 s, and its healthy backend ejected.
    await using steady = await rawBackend(async (conn, request) => {
      await conn.reply({ body: String((await request.body()).length) });
    });
    await using thinker = await rawBackend(async (conn, request) => {
      const { length } = await request.body();
      await delay(45_000);
      await conn.reply({ body: String(length) });
    });
    const start = (backend: RawBackend, env: Record<string, string>) =>
      startProxy(runtime, { env: { BACKENDS: backend.url, ...env } });
    await using first = await start(steady, { TIMEOUT: "30s" });
    await using second = await start(thinker, {});
    const upload = async () => {
      await using client = await RawConnection.connect(first.port, {
        timeoutMs: 60_000,
      });
      const piece = new Uint8Array(64 * 1024).fill(120);
      await client.write(head(45 * piece.length));
      for (let i = 0; i < 45; i++) {
        await delay(1_000);
        await client.write(piece);
      }
      return await client.readResponse({ method: "POST" });
    };
    const ask = async () => {
      await using client = await RawConnection.connect(second.port, {
        timeoutMs: 60_000,
      });
      return await client.request(`${head(200_000)}${"x".repeat(200_000)}`);
    };
    const [uploaded, asked] = await Promise.all([upload(), ask()]);
    assert.deepEqual(
      [uploaded.status, uploaded.text],
      [200, String(45 * 64 * 1024)],
    );
    assert.deepEqual([asked.status, asked.text], [200, "200000"]);
    assert.doesNotMatch(first.log + second.log, /ejected/);
  },
);
