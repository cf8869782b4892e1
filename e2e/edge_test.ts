/**
 * Running at the edge, where anybody connects: what a client leaves behind, and
 * what a process does that has no descriptor left.
 *
 * @module
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

const CHUNK = `10000\r\n${"x".repeat(0x10000)}\r\n`;

/** Uploads that are answered before they have ended. */
const EARLY: [why: string, status: number, data: string][] = [
  [
    "over the limit",
    413,
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
    CHUNK.repeat(6),
  ],
  [
    "too slow",
    408,
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
  ],
];

// Deno keeps a connection for as long as somebody might still read a request's
// body, and that of an upload that was refused midway was never given up: each
// took a descriptor with it, also after its client had left.
for (const [why, status, data] of EARLY) {
  forBoth(
    `an upload that is ${why} gives its connection back once its client has left`,
    async (runtime) => {
      await using backend = await rawBackend(async (conn, request) => {
        await request.body();
        await conn.reply();
      });
      await using proxy = await startProxy(runtime, {
        env: {
          BACKENDS: backend.url,
          HEALTH_PATH: "off",
          MAX_BODY: "300KB",
          TIMEOUT: "500ms",
          CLIENT_TIMEOUT: "500ms",
        },
      });
      const upload = async () => {
        await using client = await RawConnection.connect(proxy.port);
        await client.write(data);
        const answer = await client.readResponse({ method: "POST" });
        assert.equal(answer.status, status);
      };
      await upload();
      // What one costs for good, such as a thread of the runtime, is no leak.
      const before = proxy.fds();
      await Promise.all(Array.from({ length: 30 }, upload));
      await until(() => proxy.fds() <= before + 5, {
        timeoutMs: 3_000,
        what: () => `${before} descriptors, and not ${proxy.fds()}`,
      });
    },
  );
}
