/**
 * One client sends what parsers are slow on, and another is served next to it:
 * JavaScript has one thread, so while a field takes a second to parse, no
 * request is answered.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Handler, rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";

/** Milliseconds that a request may wait for what another client sends. */
const MOST_MS = 50;

/** How often an input is tried before it is blamed: the machine may be busy. */
const TRIES = 4;

/** Values of about so many bytes. */
const VALUES: Readonly<Record<string, (size: number) => string>> = {
  "spaces": (size) => `x${" ".repeat(size - 2)}x`,
  "commas": (size) => ",".repeat(size),
  "commas and spaces": (size) => `x${", ".repeat(size / 2 - 1)}x`,
  "semicolons": (size) => ";".repeat(size),
  "quotes": (size) => '"'.repeat(size),
  "backslashes": (size) => '"' + "\\".repeat(size - 1),
  "tags": (size) => "</a>".repeat(size / 4),
  "dotted digits": (size) => `:${"1.".repeat(size / 2 - 1)}x`,
  "addresses": (size) => "127.0.0.1,".repeat(size / 10),
  "equals signs": (size) => "=".repeat(size),
  "slashes": (size) => `http://${"/".repeat(size - 7)}`,
  "words": (size) =>
    Array.from({ length: size / 8 }, (_, i) => `w${i}`.padEnd(7, "x")).join(),
};

/** Fields that are parsed, each by its own code. */
const FIELDS = [
  "Connection",
  "Cookie",
  "Via",
  "X-Forwarded-For",
  "X-Forwarded-Host",
  "X-Forwarded-Proto",
  "Forwarded",
  "Destination",
  "If",
  "Traceparent",
  "X-Request-Id",
  "Accept",
  "Referer",
  "User-Agent",
  "Upgrade",
  "Sec-WebSocket-Protocol",
  "Max-Forwards",
];

/** Targets of about so many bytes. */
const TARGETS: Readonly<Record<string, (size: number) => string>> = {
  "dot segments": (size) => "/..".repeat(size / 3),
  "slashes": (size) => "/".repeat(size),
  "encoded percent signs": (size) => `/${"%25".repeat(size / 3)}`,
  "percent signs encoded over and over": (size) => `/%${"25".repeat(size / 2)}`,
  "percent signs": (size) => `/${"%".repeat(size)}`,
  "path parameters": (size) => "/..;".repeat(size / 4),
  "questions": (size) => `/${"?".repeat(size)}`,
};

/** A request with these fields. */
function asking(headers: [string, string][]): Uint8Array {
  return requestText("MOVE", "/", { headers });
}

/** Requests of a size, by what is odd about them. */
const REQUESTS: [what: string, make: (size: number) => Uint8Array][] = [
  // All together, of a size that fits the head.
  ...Object.entries(VALUES).map(([what, value]): typeof REQUESTS[number] => [
    `${what} in every field`,
    (size) =>
      asking(FIELDS.map((name) => [
        name,
        value(Math.floor(size / FIELDS.length)),
      ])),
  ]),
  ...FIELDS.flatMap((name) =>
    Object.entries(VALUES).map(([what, value]): typeof REQUESTS[number] => [
      `${what} in ${name}`,
      (size) => asking([[name, value(size)]]),
    ])
  ),
  ...Object.entries(TARGETS).map(([what, target]): typeof REQUESTS[number] => [
    `a target of ${what}`,
    (size) => requestText("GET", target(size)),
  ]),
  [
    "lines",
    (size) =>
      asking(Array.from({ length: size / 16 }, (_, i) => [`X-${i}`, "1"])),
  ],
];

const reads: Handler = async (conn, request) => {
  await request.body();
  await conn.reply({ body: "ok" });
};

/** Milliseconds of the slowest request during `act`. */
async function slowestBeside(
  port: number,
  act: () => Promise<void>,
): Promise<number> {
  await using connection = await RawConnection.connect(port);
  let slowest = 0;
  const ask = async () => {
    const began = performance.now();
    const { status } = await connection.request(requestText("GET", "/beside"));
    assert.equal(status, 200);
    slowest = Math.max(slowest, performance.now() - began);
  };
  await ask();
  slowest = 0;
  let over = false;
  const acting = act().finally(() => over = true);
  while (!over) await ask();
  await ask();
  await acting;
  return slowest;
}

// Behind a trusted proxy, rejecting a list of dots as an address took a second.
forBoth("a hostile request holds up no other", { timeoutMs: 180_000 }, async (
  runtime,
) => {
  await using backend = await rawBackend(reads, {
    recordLimit: 256 * 1024,
    allowProblems: true,
  });
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: `${backend.url}/base`,
      HEALTH_PATH: "off",
      EJECT_AFTER: "off",
      // Everything that reads client data.
      TRUSTED_PROXIES: "loopback",
      POLICY: "cookie:srv",
      REQUEST_ID: "on",
      TRACE: "on",
      RESUME: "on",
      ACCESS_LOG: "json",
    },
  });
  // The largest size that the server accepts, and one that it does not.
  const sizes = [15 * 1024, 60 * 1024, 64 * 1024];
  const send = async (bytes: Uint8Array) => {
    await rawRequest(proxy.port, bytes, { closeWaitMs: 0 }).catch(() => {});
  };
  const slow: string[] = [];
  for (const size of sizes) {
    const harmless = asking([["X-Long", "v".repeat(size)]]);
    for (const [what, make] of REQUESTS) {
      let verdict = "";
      for (let i = 0; i < TRIES; i++) {
        const usual = await slowestBeside(proxy.port, () => send(harmless));
        // Another one each time, of which nothing can be remembered.
        const bytes = make(size - 24 * i);
        const beside = await slowestBeside(proxy.port, () => send(bytes));
        verdict = `${what}, ${size} bytes: ${beside} ms, else ${usual} ms`;
        if (beside <= usual + MOST_MS) {
          verdict = "";
          break;
        }
      }
      if (verdict !== "") slow.push(verdict);
    }
  }
  assert.deepEqual(slow, []);
});
