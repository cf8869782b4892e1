/**
 * Exposed to the internet: what clients leave behind, and what a process does
 * without free descriptors.
 *
 * @module
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
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

// Deno keeps a connection for as long as the rest of a request's body might be
// read, and that of an upload refused midway was never cancelled: each leaked a
// descriptor, even after its client had left.
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
      // What is allocated once, such as a thread of the runtime, is not a leak.
      const before = proxy.fds();
      await Promise.all(Array.from({ length: 30 }, upload));
      await until(() => proxy.fds() <= before + 5, {
        timeoutMs: 3_000,
        what: () => `${before} descriptors, and not ${proxy.fds()}`,
      });
    },
  );
}

/** Limits the files that a process may have open from now on. */
async function limitFiles(pid: number, files: number): Promise<void> {
  const { success } = await new Deno.Command("prlimit", {
    args: [`--pid=${pid}`, `--nofile=${files}:${files}`],
  }).output();
  assert.ok(success, "prlimit works");
}

// `Bun.serve` retries without a pause to accept connections that it cannot
// accept, also in a program of three lines. Deno's listener ends and is
// reopened.
forBoth(
  "without a free descriptor it recovers once there are some; until then Bun spins and Deno does not",
  skippedWithout("prlimit"),
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, HEALTH_PATH: "off" },
    });
    const get = async () => {
      const answer = await rawRequest(proxy.port, requestText("GET", "/"));
      return answer.status;
    };
    assert.equal(await get(), 200);
    await limitFiles(proxy.pid, proxy.fds() + 20);
    const clients = await Promise.all(Array.from(
      { length: 60 },
      // Deno refuses some, between its listeners.
      () => RawConnection.connect(proxy.port).catch(() => undefined),
    ));
    const began = proxy.cpuMs();
    const spins = until(() => proxy.cpuMs() - began > 1_000, {
      timeoutMs: runtime === "bun" ? 15_000 : 2_000,
      everyMs: 100,
      what: "a second of processor time that nothing was done with",
    });
    // A runtime that mends it is noticed here.
    if (runtime === "bun") await spins;
    else await assert.rejects(spins, /in vain for a second/);
    for (const client of clients) await client?.close();
    await until(() => get().then((status) => status === 200, () => false));
    assert.equal(proxy.exited, undefined);
  },
);
