// What certificates are replaced with on Deno is not public: it has to be there,
// or a renewed certificate waits for a new start without anybody noticing.

import assert from "node:assert/strict";
import { once } from "node:events";
import tls from "node:tls";
import { CERT, KEY } from "../../testing/certificates.ts";
import { listenShared, tlsInside } from "./inside_tls.ts";
import type { Listener } from "../listener.ts";
import { listenTlsDeno } from "./listen_tls.ts";

const PAIR = { cert: CERT, key: KEY };

Deno.test("tlsInside() is there", () => {
  assert.notEqual(tlsInside(), undefined);
});

Deno.test("listenShared() has listeners share a socket, and leaves objects as they are", () => {
  const listen = (port: number) =>
    listenShared({ hostname: "127.0.0.1", port, ...PAIR });
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = free.addr as Deno.NetAddr;
  free.close();
  using _first = listen(port);
  using _second = listen(port);
  assert.equal("loadBalanced" in {}, false);
});

// When this fails, `listenShared()` can do with the option.
Deno.test("Deno.listenTls() shares no socket by an option", () => {
  const options = { hostname: "127.0.0.1", loadBalanced: true, ...PAIR };
  using first = Deno.listenTls({ ...options, port: 0 });
  const { port } = first.addr as Deno.NetAddr;
  assert.throws(
    () => Deno.listenTls({ ...options, port }),
    Deno.errors.AddrInUse,
  );
});

function listening(): Listener {
  const listener = listenTlsDeno(
    () => new Response("x"),
    { port: 0, host: "127.0.0.1", tls: PAIR, log: () => {} },
  );
  assert.ok(listener);
  return listener;
}

Deno.test("listenTlsDeno() does not share a port that is in use", async () => {
  const first = listening();
  const { port } = first;
  const again = () =>
    listenTlsDeno(
      () => new Response("x"),
      { port, host: "127.0.0.1", tls: PAIR, log: () => {} },
    );
  assert.throws(again, Deno.errors.AddrInUse);
  await first.close();
  const second = again();
  await second!.close();
});

/** A client that has shaken hands, whatever the certificate says. */
async function shaken(port: number): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    host: "127.0.0.1",
    port,
    rejectUnauthorized: false,
  });
  await once(socket, "secureConnect");
  return socket;
}

// A client that connects and says nothing would have held up the end.
Deno.test("listenTlsDeno() does not wait for idle connections when it is closed", async () => {
  const listener = listening();
  using _silent = await Deno.connect({ port: listener.port });
  const idle = await shaken(listener.port);
  const ended = once(idle, "close");
  await listener.close();
  await ended;
  await assert.rejects(listener.setCertificate!(PAIR), /it is closed/);
});

Deno.test("listenTlsDeno() ends connections at once when it is killed", async () => {
  const listener = listening();
  const idle = await shaken(listener.port);
  const ended = once(idle, "close");
  listener.kill();
  await ended;
  await listener.close();
});
