import assert from "node:assert/strict";
import net from "node:net";
import { settle } from "../../testing/clock.ts";
import { until } from "../../e2e/harness/wait.ts";
import { connectDeno } from "./connect.ts";

/** A server that takes connections and says nothing. */
async function silent() {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    sockets.push(socket.resume());
  });
  await new Promise<void>((listening) =>
    server.listen(0, "127.0.0.1", listening)
  );
  return {
    sockets,
    port: (server.address() as net.AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((closed) => server.close(closed));
    },
  };
}

Deno.test("connectDeno() ends the connection of a TLS handshake that takes too long", async () => {
  await using server = await silent();
  await assert.rejects(
    connectDeno(
      { hostname: "127.0.0.1", port: server.port, certifiedAs: "127.0.0.1" },
      { limitMs: 100, signal: new AbortController().signal },
    ),
    { code: "ETIMEDOUT" },
  );
  await until(() => server.sockets[0]?.readableEnded);
});

// Deno itself keeps some of them, see connect.ts.
Deno.test("connectDeno() keeps no connection of an attempt that was given up", async () => {
  await using server = await silent();
  let given = 0;
  for (let round = 0; round < 10; round++) {
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), i % 4);
      try {
        const connection = await connectDeno(
          {
            hostname: "127.0.0.1",
            port: server.port,
            certifiedAs: undefined,
          },
          { limitMs: 10_000, signal: controller.signal },
        );
        connection.destroy();
      } catch {
        given++;
      }
    }));
  }
  assert.ok(given > 0);
  await until(() =>
    server.sockets.length === 500 &&
    server.sockets.every(({ readableEnded }) => readableEnded)
  );
});

// Why `node:tls` is used there and not this, which is faster.
Deno.test("Deno.startTls() keeps the connection of a handshake that was given up", async () => {
  await using server = await silent();
  const connection = await Deno.startTls(
    await Deno.connect({ port: server.port }),
    { hostname: "127.0.0.1" },
  );
  const handshake = connection.handshake().catch(() => {});
  await until(() => server.sockets.length === 1);
  connection.close();
  await handshake;
  // Deno ends the connections that it can within a turn or two.
  for (let turn = 0; turn < 20; turn++) await settle();
  assert.equal(
    server.sockets[0]!.readableEnded,
    false,
    "Deno now ends it: see whether runtime/deno/tls.ts is still needed",
  );
});
