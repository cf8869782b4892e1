import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { latin1 } from "../http/bytes.ts";
import { FakeSocket } from "../testing/fake_socket.ts";
import { growsLinearly } from "../testing/growth.ts";
import {
  HandshakeFailed,
  handshakeOf,
  hasElement,
  Opened,
  openWebSocket,
} from "./handshake.ts";
import type { Fields } from "./headers.ts";

Deno.test("handshakeOf() distinguishes a valid handshake, an invalid one and none", () => {
  const good = {
    upgrade: "WebSocket",
    connection: "keep-alive, Upgrade",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
  };
  const of = (changes: Record<string, string | undefined> = {}) => {
    const fields = Object.entries({ ...good, ...changes })
      .filter((field): field is [string, string] => field[1] !== undefined);
    const result = handshakeOf(new Headers(fields));
    return typeof result === "boolean" ? result : result.status;
  };
  for (
    const [changes, expected] of [
      [{}, true],
      [{ upgrade: "foo, websocket" }, true],
      [{ upgrade: undefined }, false],
      [{ upgrade: "h2c" }, false],
      [{ connection: undefined }, false],
      [{ connection: "keep-alive" }, false],
      [{ "sec-websocket-key": undefined }, 400],
      [{ "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=" }, 400],
      [{ "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZR==" }, 400],
      [{ "sec-websocket-version": undefined }, 426],
      [{ "sec-websocket-version": "8" }, 426],
    ] as const
  ) assert.equal(of(changes), expected, JSON.stringify(changes));
});

/** Shakes hands with a backend that answers with `answer`. */
async function shaken(
  answer: (accept: string) => string,
  {
    asked,
    ends = false,
    size = Infinity,
    socket = new FakeSocket(),
    signal = new AbortController().signal,
  }: {
    asked?: string;
    ends?: boolean;
    size?: number;
    socket?: FakeSocket;
    signal?: AbortSignal;
  } = {},
): Promise<{ result: Opened | Response; socket: FakeSocket; said: string }> {
  let said = "";
  socket.answer = (text) => {
    said = text;
    const key = /sec-websocket-key: (\S+)/.exec(text)![1]!;
    const accept = createHash("sha1")
      .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    const bytes = answer(accept);
    for (let at = 0; at < bytes.length; at += size) {
      socket.receive(bytes.slice(at, at + Math.min(size, bytes.length)));
    }
    if (ends) socket.finish();
  };
  const fields: Fields = [
    ["host", "a.test"],
    ["x-a", "k\xe4se"],
    ["sec-websocket-extensions", "permessage-deflate"],
    ["sec-websocket-key", "the client's own"],
  ];
  if (asked !== undefined) fields.push(["sec-websocket-protocol", asked]);
  const result = await openWebSocket(socket, "/chat?x", fields, signal);
  return { result, socket, said };
}

const GRANT = (accept: string, more = "") =>
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n" +
  `Connection: upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${more}\r\n`;

Deno.test("openWebSocket() sends an RFC 6455 handshake with its own key", async () => {
  const { result, said } = await shaken(GRANT);
  assert.ok(result instanceof Opened);
  assert.match(said, /^GET \/chat\?x HTTP\/1\.1\r\nhost: a\.test\r\n/);
  assert.match(said, /\r\nx-a: k\xe4se\r\n/);
  assert.match(said, /\r\nconnection: Upgrade\r\nupgrade: websocket\r\n/);
  assert.match(said, /\r\nsec-websocket-version: 13\r\n/);
  assert.doesNotMatch(said, /extensions|the client's own/);
  assert.ok(said.endsWith("\r\n\r\n"));
});

Deno.test("openWebSocket() takes a 101 in any pieces, and keeps what comes after it", async () => {
  for (const size of [1, 7, Infinity]) {
    const { result } = await shaken(
      (accept) =>
        "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" +
        GRANT(accept, "X-Said: 1\r\nSec-WebSocket-Protocol: b\r\n") +
        (size === Infinity ? "frames" : ""),
      { asked: "a,b", size },
    );
    assert.ok(result instanceof Opened);
    assert.equal(result.protocol, "b");
    assert.deepEqual(
      result.fields.filter(([name]) => name === "x-said"),
      [["x-said", "1"]],
    );
    assert.equal(
      result.rest.map((piece) => latin1(piece)).join(""),
      size === Infinity ? "frames" : "",
    );
  }
});

/** What an attempt failed with, and whether its connection was closed. */
async function failed(
  answer: (accept: string) => string,
  options: Parameters<typeof shaken>[1] = {},
): Promise<[type: string, fault: string]> {
  const socket = new FakeSocket();
  try {
    await shaken(answer, { asked: "a, b", socket, ...options });
  } catch (error) {
    assert.ok(error instanceof HandshakeFailed);
    assert.equal(socket.destroyed, true);
    assert.equal(error.failure.sent, true);
    return [error.failure.type, error.failure.fault];
  }
  throw new Error("It did not fail");
}

Deno.test("openWebSocket() refuses a 101 that does not match, and malformed responses", async () => {
  for (
    const answer of [
      () => GRANT("wrong"),
      (accept: string) => GRANT(accept).replace("WebSocket\r", "h2c\r"),
      (accept: string) => GRANT(accept).replace("upgrade\r", "close\r"),
      (accept: string) => GRANT(accept, "Sec-WebSocket-Protocol: c\r\n"),
      (accept: string) => GRANT(accept, "Sec-WebSocket-Protocol: a, b\r\n"),
      (accept: string) => GRANT(accept, "Sec-WebSocket-Protocol: \r\n"),
      (accept: string) =>
        GRANT(accept, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
      () => "not HTTP at all\r\n\r\n",
      () => `HTTP/1.1 200 OK\r\nA: ${"x".repeat(70_000)}`,
      () => "HTTP/1.1 403 No\r\nContent-Length: 1, 2\r\n\r\n",
      () => "HTTP/1.1 403 No\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ]
  ) {
    assert.deepEqual(await failed(answer), ["http_protocol_error", "backend"]);
  }
});

Deno.test("openWebSocket() does not blame a backend that closes without a byte", async () => {
  // Some backends close the connection of an upgrade that they do not want. Four
  // handshakes of a client ejected half of a pool of such.
  const closed = "connection_terminated";
  assert.deepEqual(await failed(() => "", { ends: true }), [closed, "none"]);
  assert.deepEqual(
    await failed(() => "HTTP/1.1 101", { ends: true }),
    [closed, "backend"],
  );
});

Deno.test("openWebSocket() passes on a refusal, and closes its connection", async () => {
  for (
    const [text, status, body] of [
      ["HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhello", 403, "hello"],
      ["HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", 204, ""],
      ["HTTP/1.1 205 No\r\nContent-Length: 5\r\n\r\nhello", 205, ""],
      ["HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", 304, ""],
    ] as const
  ) {
    const { result, socket } = await shaken(() => text);
    assert.ok(result instanceof Response);
    assert.equal(result.status, status);
    assert.equal(await result.text(), body);
    assert.equal(socket.destroyed, true);
  }
  const odd = await shaken(() =>
    "HTTP/1.1 403 No\r\nContent-Length: 9\r\n" +
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
  );
  assert.equal((odd.result as Response).headers.get("content-length"), null);
});

Deno.test("openWebSocket() closes the connection when the attempt is ended", async () => {
  const client = new AbortController();
  const { signal } = client;
  const socket = new FakeSocket();
  const shaking = shaken(() => "HTTP/1.1 200", { signal, socket });
  client.abort(new Error("left"));
  await assert.rejects(shaking, HandshakeFailed);
  assert.equal(socket.destroyed, true);
  // And a refusal that is on its way, too.
  const reading = new AbortController();
  const refused = await shaken(
    () => "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhel",
    { signal: reading.signal },
  );
  reading.abort(new Error("left"));
  assert.equal(refused.socket.destroyed, true);
  await assert.rejects((refused.result as Response).text(), /left/);
});

Deno.test("hasElement() finds an element of a list, and no part of one", () => {
  for (
    const [list, found] of [
      ["a", true],
      [" a ", true],
      ["b,a", true],
      ["b,\t a ,c", true],
      [",,a,,", true],
      ["", false],
      ["ab", false],
      ["ba", false],
      ["a b", false],
      ["b a", false],
      ["a a", false],
      ["aa,ab,ba", false],
      ["aa,a", true],
    ] as const
  ) assert.equal(hasElement(list, "a"), found, list);
  for (const part of ["a ", "a,", " a", ",", "aa"]) {
    growsLinearly(JSON.stringify(part), 16_000, (n) => {
      const list = `${part.repeat(n / part.length)} b`;
      return () => void hasElement(list, "a");
    });
  }
});
