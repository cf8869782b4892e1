import assert from "node:assert/strict";
import net from "node:net";
import { systemClock } from "../../base/clock.ts";
import { until } from "../../e2e/harness/wait.ts";
import { connectDeno } from "./connect.ts";

Deno.test("connectDeno() gives a TLS handshake up in time, though Deno keeps its socket until the peer ends it", async () => {
  const sockets: net.Socket[] = [];
  const silent = net.createServer((socket) => sockets.push(socket));
  await new Promise<void>((listening) =>
    silent.listen(0, "127.0.0.1", listening)
  );
  const { port } = silent.address() as net.AddressInfo;
  try {
    await assert.rejects(
      connectDeno(
        { hostname: "127.0.0.1", port, certifiedAs: "127.0.0.1" },
        { limitMs: 100, signal: new AbortController().signal },
      ),
      { code: "ETIMEDOUT" },
    );
    await until(() => sockets.length === 1);
    const [socket] = sockets;
    socket!.resume();
    // Deno ends the connections that it can within a turn or two.
    for (let i = 0; i < 20; i++) {
      await new Promise<void>((turn) => void systemClock.setTimeout(turn, 5));
    }
    assert.equal(socket!.readableEnded, false, "Deno now ends it: say so");
    socket!.end();
    await until(() => socket!.readableEnded || socket!.destroyed);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((closed) => silent.close(closed));
  }
});
