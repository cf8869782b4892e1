/**
 * Hostile bytes of a backend, 64 KB at a time, for the readers of responses to
 * a WebSocket handshake: another client must not notice.
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { letsOthersPass } from "./harness/waits.ts";
import { ASKING } from "./websocket/raw.ts";

const SIZE = 64_000;
const STATUS = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${STATUS}Transfer-Encoding: chunked\r\n\r\n`;

/** Repeats a text up to the maximum size of a head. */
const much = (text: string) => text.repeat(Math.floor(SIZE / text.length));

/** Responses, by request path. */
const HOSTILE: Record<string, string> = {
  // Three repetitions side by side matched these, for up to an hour each.
  "spaces, then an invalid byte": `${STATUS}X:${much(" ")}\x7f\r\n\r\n`,
  "spaces within a value": `${STATUS}X: a${much(" ")}b\r\n\r\n`,
  "spaces within a length": `${STATUS}Content-Length: 1,1${much(" ")}x\r\n\r\n`,
  "lengths": `${STATUS}Content-Length: 1${much(",1")}\r\n\r\nx`,
  "commas": `${STATUS}Connection: ${much(",")}\r\nContent-Length: 0\r\n\r\n`,
  "commas in a 101": "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n" +
    `Connection: ${much(",")}\r\n\r\n`,
  "spaces in a 101": "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n" +
    `Sec-WebSocket-Protocol: a${much(" ")}b\r\nConnection: Upgrade\r\n\r\n`,
  "colons": `${STATUS}X${much(":")}\r\nContent-Length: 0\r\n\r\n`,
  "1,000 lines": `${STATUS}${"a: b\r\n".repeat(990)}Content-Length: 0\r\n\r\n`,
  "lines without end": STATUS + much("a: b\r\n"),
  "a line without end": `${STATUS}X: ${much("x")}`,
  "bytes past ASCII": `${STATUS}X: ${
    much("\xe4")
  }\r\nContent-Length: 0\r\n\r\n`,
  "interim answers": much("HTTP/1.1 103 X\r\n\r\n"),
  "codings": `${STATUS}Transfer-Encoding: ${much("chunked,")}\r\n\r\n`,
  // All that was buffered was made into text for each line of these.
  "chunks of a byte": `${CHUNKED}${much("1\r\nx\r\n").repeat(4)}0\r\n\r\n`,
  "chunks with extensions": `${CHUNKED}${much("1;aaaa\r\nx\r\n")}0\r\n\r\n`,
  "a size of zeros": `${CHUNKED}${much("0")}`,
  "an extension": `${CHUNKED}1;${much("x")}`,
  "trailers": `${CHUNKED}0\r\n${much("a: b\r\n")}\r\n`,
};

forBoth(
  "hostile responses to a handshake delay no other request",
  { timeoutMs: 180_000 },
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) => {
      if (request.path === "/beside") return await conn.reply({ body: "ok" });
      const [, name, size] = request.path.split("/").map(decodeURIComponent);
      const bytes = name === "harmless"
        ? `${STATUS}Content-Length: ${SIZE}\r\n\r\n${much("x")}`
        : HOSTILE[name!]!;
      // In one go, or in the pieces that a slow line makes of it.
      const piece = Number(size);
      for (let at = 0; at < bytes.length; at += piece) {
        await conn.send(bytes.slice(at, at + piece)).catch(() => {});
      }
      await conn.end();
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, EJECT_AFTER: "off", HEALTH_PATH: "off" },
    });
    const asked = async (name: string, size: number) => {
      // More than one, since a single one might be lucky.
      for (let i = 0; i < 3; i++) {
        await using conn = await RawConnection.connect(proxy.port, {
          timeoutMs: 60_000,
        });
        const path = `/${encodeURIComponent(name)}/${size}`;
        await conn.write(requestText("GET", path, { headers: [...ASKING] }));
        const { status } = await conn.readResponse();
        // Truncated, if the body is broken before any of it was passed on.
        assert.ok([0, 200, 502].includes(status), `${name}: ${status}`);
      }
    };
    await asked("harmless", SIZE);
    for (const name of Object.keys(HOSTILE)) {
      for (const size of [Infinity, 1_000]) {
        await letsOthersPass(
          `${name}, ${size} bytes at a time`,
          proxy.port,
          () => asked(name, size === Infinity ? 1e9 : size),
          () => asked("harmless", size === Infinity ? 1e9 : size),
        );
      }
    }
  },
);

forBoth(
  "a response to a handshake that comes byte by byte delays no other request",
  { timeoutMs: 120_000 },
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) => {
      if (request.path === "/beside") return await conn.reply({ body: "ok" });
      const text = request.path === "/head"
        ? `${STATUS}X: ${"x".repeat(3_000)}\r\nContent-Length: 0\r\n\r\n`
        : request.path === "/chunks"
        ? `${CHUNKED}${"1\r\nx\r\n".repeat(500)}0\r\n\r\n`
        : `${STATUS}Content-Length: 3000\r\n\r\n${"x".repeat(3_000)}`;
      for (const character of text) await conn.send(character);
      await conn.closed;
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, HEALTH_PATH: "off" },
    });
    const asked = async (path: string) => {
      await using conn = await RawConnection.connect(proxy.port);
      await conn.write(requestText("GET", path, { headers: [...ASKING] }));
      const { complete, status } = await conn.readResponse();
      assert.deepEqual([status, complete], [200, true], path);
    };
    for (const path of ["/head", "/chunks"]) {
      await letsOthersPass(
        path,
        proxy.port,
        () => asked(path),
        () => asked("/length"),
      );
    }
  },
);
