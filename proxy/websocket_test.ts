import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { Chunk } from "./body.ts";
import { closeFrame, frameOf, OPCODE } from "./frames.ts";
import type { Fields } from "./headers.ts";
import { Ended, Malformed, parseHead } from "./raw_answer.ts";
import type { ClientEnd, Socket, SocketEvents } from "./socket.ts";
import {
  Bridge,
  handshakeFailure,
  handshakeOf,
  Opened,
  shakeHands,
} from "./websocket.ts";

const latin1 = (text: string): Chunk =>
  Uint8Array.from(text, (character) => character.charCodeAt(0));

/** A backend's connection in a test's hands. */
class FakeSocket implements Socket {
  queued = 0;
  paused = true;
  ended = false;
  destroyed = false;
  readonly written: Chunk[] = [];
  /** Called with what is written, for a backend that answers. */
  answer: ((text: string) => void) | undefined;
  #events: SocketEvents | undefined;
  #waiting: Chunk[] = [];
  #over: { error?: Error } | undefined;

  listen(events: SocketEvents): void {
    this.#events = events;
    this.#flow();
  }

  write(bytes: Chunk): void {
    this.written.push(bytes);
    this.answer?.(String.fromCharCode(...bytes));
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.#flow();
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    this.destroyed = true;
  }

  /** Bytes from the backend. */
  receive(bytes: string | Chunk): void {
    this.#waiting.push(typeof bytes === "string" ? latin1(bytes) : bytes);
    this.#flow();
  }

  /** The backend ends it. */
  finish(error?: Error): void {
    this.#over = error === undefined ? {} : { error };
    this.#flow();
  }

  drained(): void {
    this.queued = 0;
    this.#events?.drained();
  }

  #flow(): void {
    while (!this.paused && this.#waiting.length > 0) {
      this.#events?.data(this.#waiting.shift()!);
    }
    if (this.#waiting.length === 0 && this.#over !== undefined) {
      const { error } = this.#over;
      this.#over = undefined;
      this.#events?.ended(error);
    }
  }
}

Deno.test("handshakeOf() tells a good handshake from a bad one and from none", () => {
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

Deno.test("parseHead() takes what RFC 9112 allows", () => {
  assert.deepEqual(
    parseHead("HTTP/1.1 200 OK\r\nA:b\r\nC-D: \t e f \t\r\nE:"),
    { status: 200, fields: [["a", "b"], ["c-d", "e f"], ["e", ""]] },
  );
  for (const line of ["HTTP/1.0 404", "HTTP/1.1 403 ", "HTTP/1.1 500 \xe4"]) {
    assert.equal(parseHead(line).fields.length, 0);
  }
  for (
    const head of [
      "HTTP/2 200 OK",
      "HTTP/1.1  200 OK",
      "HTTP/1.1 600 X",
      "HTTP/1.1 20 X",
      "ICY 200 OK",
      "HTTP/1.1 200 OK\r\nA : b",
      "HTTP/1.1 200 OK\r\n folded: b",
      "HTTP/1.1 200 OK\r\nA: b\r\n c",
      "HTTP/1.1 200 OK\r\nA: b\nB: c",
      "HTTP/1.1 200 OK\r\nA: b\0",
      "HTTP/1.1 200 OK\r\nno colon",
      "HTTP/1.1 200 OK\r\n" + "a: b\r\n".repeat(300) + "a: b",
    ]
  ) assert.throws(() => parseHead(head), Malformed, JSON.stringify(head));
});

/** Shakes hands with a backend that answers with `answer`. */
async function shaken(
  answer: (accept: string) => string,
  { asked, ends = false, size = Infinity }: {
    asked?: string;
    ends?: boolean;
    size?: number;
  } = {},
): Promise<{ result: Opened | Response; socket: FakeSocket; said: string }> {
  const socket = new FakeSocket();
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
  const result = await shakeHands(socket, "/chat?x", fields);
  return { result, socket, said };
}

const GRANT = (accept: string, more = "") =>
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n" +
  `Connection: upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${more}\r\n`;

Deno.test("shakeHands() asks as RFC 6455 says, with a key of its own", async () => {
  const { result, said } = await shaken(GRANT);
  assert.ok(result instanceof Opened);
  assert.match(said, /^GET \/chat\?x HTTP\/1\.1\r\nhost: a\.test\r\n/);
  assert.match(said, /\r\nx-a: k\xe4se\r\n/);
  assert.match(said, /\r\nconnection: Upgrade\r\nupgrade: websocket\r\n/);
  assert.match(said, /\r\nsec-websocket-version: 13\r\n/);
  assert.doesNotMatch(said, /extensions|the client's own/);
  assert.ok(said.endsWith("\r\n\r\n"));
});

Deno.test("shakeHands() takes a 101 in any pieces, and keeps what comes after it", async () => {
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
      result.rest.map((piece) => String.fromCharCode(...piece)).join(""),
      size === Infinity ? "frames" : "",
    );
  }
});

Deno.test("shakeHands() refuses a 101 that nobody asked for", async () => {
  for (
    const answer of [
      () => GRANT("wrong"),
      (accept: string) => GRANT(accept).replace("WebSocket\r", "h2c\r"),
      (accept: string) => GRANT(accept).replace("upgrade\r", "close\r"),
      (accept: string) => GRANT(accept, "Sec-WebSocket-Protocol: c\r\n"),
      (accept: string) =>
        GRANT(accept, "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
      () => "not HTTP at all\r\n\r\n",
      () => `HTTP/1.1 200 OK\r\nA: ${"x".repeat(70_000)}`,
      () => "HTTP/1.1 403 No\r\nContent-Length: 1, 2\r\n\r\n",
      () => "HTTP/1.1 403 No\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ]
  ) {
    await assert.rejects(shaken(answer, { asked: "a, b" }), (error) => {
      assert.equal(handshakeFailure(error).type, "http_protocol_error");
      return true;
    });
  }
  await assert.rejects(
    shaken(() => "HTTP/1.1 101", { ends: true }),
    (error) => {
      assert.ok(error instanceof Ended);
      assert.equal(handshakeFailure(error).type, "connection_terminated");
      return true;
    },
  );
});

Deno.test("shakeHands() hands a refusal on, however its body is framed", async () => {
  for (
    const [text, ends] of [
      ["HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhello and more", false],
      ["HTTP/1.1 403 No\r\nContent-Length: 5, 5\r\n\r\nhello", false],
      [
        "HTTP/1.1 403 No\r\nTransfer-Encoding: Chunked\r\n\r\n" +
        "2;x=y\r\nhe\r\n03\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
        false,
      ],
      ["HTTP/1.0 403 No\r\n\r\nhello", true],
    ] as const
  ) {
    for (const size of [1, 3, Infinity]) {
      const { result, socket } = await shaken(() => text, { ends, size });
      assert.ok(result instanceof Response);
      assert.equal(result.status, 403);
      assert.equal(await result.text(), "hello", text);
      assert.equal(socket.destroyed, true);
    }
  }
});

Deno.test("shakeHands() does not let a cut refusal look whole", async () => {
  for (
    const text of [
      "HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nhello",
      "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nhello\r\n",
      "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
    ]
  ) {
    const { result } = await shaken(() => text, { ends: true });
    await assert.rejects((result as Response).text(), Error, text);
  }
});

/** A client in a test's hands. */
class FakeClient implements ClientEnd {
  readonly seen: unknown[] = [];
  room = true;
  send(data: string | Chunk): boolean {
    this.seen.push(data);
    return this.room;
  }
  close(code: number | undefined, reason: string): void {
    this.seen.push(["close", code, reason]);
  }
  cut(): void {
    this.seen.push("cut");
  }
}

function bridged(client = new FakeClient()) {
  const socket = new FakeSocket();
  const state = { now: 0, over: 0 };
  const bridge = new Bridge(new Opened(socket, [], undefined, []), {
    over: () => state.over++,
    log: () => {},
    now: () => state.now,
  });
  bridge.opened(client);
  return { bridge, socket, client, state };
}

/** Unmasked frames, as a backend sends them. */
const text = (data: string) =>
  latin1(`\x81${String.fromCharCode(data.length)}${data}`);
const CLOSE_1000 = latin1("\x88\x02\x03\xe8");

/** The kinds of frames that were written to a backend. */
const kinds = (socket: FakeSocket) => socket.written.map(([first]) => first);

Deno.test("Bridge reads no more of a backend than its client has room for", () => {
  const { bridge, socket, client } = bridged();
  client.room = false;
  socket.receive(new Uint8Array([...text("a"), ...text("b")]));
  socket.receive(text("c"));
  assert.deepEqual(client.seen, ["a"]);
  assert.equal(socket.paused, true);
  bridge.drained();
  assert.deepEqual(client.seen, ["a", "b"]);
  client.room = true;
  bridge.drained();
  assert.deepEqual(client.seen, ["a", "b", "c"]);
  assert.equal(socket.paused, false);
});

Deno.test("Bridge lets a client wait that can wait, until the backend has read", () => {
  const calls: string[] = [];
  const client = Object.assign(new FakeClient(), {
    pause: () => void calls.push("pause"),
    resume: () => void calls.push("resume"),
  });
  const { bridge, socket } = bridged(client);
  bridge.message("a");
  assert.deepEqual(calls, []);
  socket.queued = 2 ** 21;
  bridge.message("b");
  assert.deepEqual(calls, ["pause"]);
  socket.drained();
  assert.deepEqual(calls, ["pause", "resume"]);
});

Deno.test("Bridge closes a client that cannot wait once too much is held for it", () => {
  const { bridge, socket, client } = bridged();
  socket.queued = 64 * 2 ** 20;
  bridge.message("a");
  assert.deepEqual(client.seen, []);
  socket.queued++;
  bridge.message("b");
  assert.deepEqual(client.seen, [
    ["close", 1013, "the backend reads too slowly"],
  ]);
  bridge.message("c");
  assert.deepEqual(kinds(socket), [0x81, 0x81, 0x88]);
});

Deno.test("Bridge is over once both sides are, and says so once", () => {
  const { bridge, socket, client, state } = bridged();
  socket.receive(CLOSE_1000);
  assert.deepEqual(client.seen, [["close", 1000, ""]]);
  assert.deepEqual(kinds(socket), [0x88]);
  bridge.closed(1000, "");
  assert.equal(state.over, 0);
  socket.finish();
  assert.equal(state.over, 1);
  bridge.closed(1000, "");
  bridge.look(100_000);
  assert.equal(state.over, 1);
});

Deno.test("Bridge cuts a backend that does not end a closed connection", () => {
  const { bridge, socket, state } = bridged();
  bridge.closed(1001, "away");
  bridge.look(500);
  assert.equal(socket.destroyed, false);
  bridge.look(1_000);
  assert.equal(socket.destroyed, true);
  assert.equal(state.over, 1);
});

Deno.test("Bridge gives a slow backend time to read what a client has left it", () => {
  const { bridge, socket } = bridged();
  socket.queued = 1_000;
  bridge.closed(1000, "");
  for (let now = 0; now < 60_000; now += 5_000) {
    socket.queued--;
    bridge.look(now);
  }
  assert.equal(socket.destroyed, false);
  bridge.look(70_000);
  assert.equal(socket.destroyed, true);
});

Deno.test("Bridge answers pings, but not those of a backend that does not read", () => {
  const { socket } = bridged();
  socket.receive(latin1("\x89\x01p"));
  assert.deepEqual(kinds(socket), [0x8a]);
  socket.queued = 2 ** 20;
  socket.receive(latin1("\x89\x01p"));
  assert.deepEqual(kinds(socket), [0x8a]);
});

Deno.test("Bridge.goAway() says 1001 to both, also to a client still to come", () => {
  const { bridge, socket, client } = bridged();
  bridge.goAway();
  bridge.goAway();
  assert.deepEqual(client.seen, [["close", 1001, ""]]);
  assert.deepEqual(kinds(socket), [0x88]);
  assert.equal(frameOf(OPCODE.close, "").length, closeFrame(undefined).length);

  const late = new FakeSocket();
  const coming = new FakeClient();
  const other = new Bridge(new Opened(late, [], undefined, []), {
    over: () => {},
    log: () => {},
    now: () => 0,
  });
  other.goAway();
  other.opened(coming);
  assert.deepEqual(coming.seen, [["close", 1001, ""]]);
});
