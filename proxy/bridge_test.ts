import assert from "node:assert/strict";
import { bytesOf, type Chunk } from "../http/bytes.ts";
import { FakeSocket } from "../testing/fake_socket.ts";
import { Bridge } from "./bridge.ts";
import { BridgeBudget } from "./bridge_budget.ts";
import { closeFrame, frameOf, OPCODE } from "./frames.ts";
import { Opened } from "./handshake.ts";
import type { ClientEnd } from "./socket.ts";

const MB = 1024 * 1024;

/** A client in a test's hands. */
class FakeClient implements ClientEnd {
  readonly seen: unknown[] = [];
  queued = 0;
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

interface World {
  bridge: Bridge;
  socket: FakeSocket;
  client: FakeClient;
  state: { now: number; over: number; later: (() => void)[]; log: string[] };
}

/** A bridge, and a client that has come to it unless it is `late`. */
function bridged(
  client = new FakeClient(),
  { late = false, rest = [] as Chunk[], budget = new BridgeBudget(16 * MB) } =
    {},
): World {
  const socket = new FakeSocket();
  const state: World["state"] = { now: 0, over: 0, later: [], log: [] };
  const bridge = new Bridge(new Opened(socket, [], undefined, rest), {
    maxMessageBytes: 16 * MB,
    budget,
    over: () => state.over++,
    log: (line) => state.log.push(line),
    now: () => state.now,
    later: (callback) => state.later.push(callback),
  });
  if (!late) bridge.opened(client);
  return { bridge, socket, client, state };
}

/** Unmasked frames, as a backend sends them. */
const text = (data: string) =>
  bytesOf(`\x81${String.fromCharCode(data.length)}${data}`);
const CLOSE_1000 = bytesOf("\x88\x02\x03\xe8");

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

Deno.test("Bridge pauses a client that can be paused, until the backend has read", () => {
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

Deno.test("Bridge yields after 1,000 messages of a client", () => {
  // Bun hands over 80,000 messages in one go, also when it is told to pause.
  const calls: string[] = [];
  const client = Object.assign(new FakeClient(), {
    pause: () => void calls.push("pause"),
    resume: () => void calls.push("resume"),
  });
  const { bridge, socket, state } = bridged(client);
  for (let i = 0; i < 999; i++) bridge.message("");
  assert.deepEqual(calls, []);
  for (let i = 0; i < 1_501; i++) bridge.message("");
  assert.equal(socket.written.length, 1_000);
  assert.deepEqual(calls, ["pause"]);
  // The end comes behind what was sent.
  bridge.closed(1000, "bye");
  state.later.shift()!();
  assert.equal(socket.written.length, 2_000);
  assert.equal(bridge.held, 500 * 64);
  state.later.shift()!();
  assert.equal(socket.written.length, 2_501);
  assert.equal(kinds(socket).at(-1), 0x88);
  assert.deepEqual([bridge.held, state.later.length], [0, 0]);

  // One that has taken its turn is read again, unless its backend is slow.
  const other = bridged(client);
  calls.length = 0;
  for (let i = 0; i < 1_000; i++) other.bridge.message("");
  other.state.later.shift()!();
  assert.deepEqual(calls, ["pause", "resume"]);
  other.socket.queued = 2 * MB;
  for (let i = 0; i < 1_000; i++) other.bridge.message("");
  other.socket.drained();
  assert.equal(new Set(calls.slice(2)).size, 1, "it was read again");
  other.state.later.shift()!();
  assert.equal(calls.at(-1), "resume");
});

Deno.test("Bridge closes a client whose inbox is too large", () => {
  const { bridge, client } = bridged();
  for (let i = 0; i < 1_001; i++) bridge.message("");
  for (let i = 0; i < 32; i++) bridge.message(new Uint8Array(MB));
  assert.deepEqual(client.seen, [
    ["close", 1013, "the backend reads too slowly"],
  ]);
});

Deno.test("Bridge closes a client that cannot be paused above the limit", () => {
  const { bridge, socket, client } = bridged();
  socket.queued = 32 * MB;
  bridge.message("a");
  assert.deepEqual(client.seen, []);
  // One message comes on top, however large it is.
  socket.queued++;
  bridge.message("b");
  assert.deepEqual(client.seen, [
    ["close", 1013, "the backend reads too slowly"],
  ]);
  bridge.message("c");
  assert.deepEqual(kinds(socket), [0x81, 0x88]);
});

Deno.test("Bridge closes with 1009 for a client's message that is too big", () => {
  const { bridge, socket, client } = bridged();
  bridge.message("ä".repeat(8 * MB));
  assert.deepEqual(client.seen, []);
  bridge.message("ä".repeat(8 * MB) + "a");
  assert.deepEqual(client.seen, [["close", 1009, "message too big"]]);
  assert.equal(socket.ended, true);
  assert.deepEqual(kinds(socket), [0x81]);
});

Deno.test("Bridge closes with 1009 for a backend's fragments that are too big together", () => {
  const { socket, client } = bridged();
  const head = new Uint8Array([0x02, 127, 0, 0, 0, 0, 0, 0x80, 0, 0]);
  socket.receive(new Uint8Array([...head, ...new Uint8Array(8 * MB)]));
  assert.deepEqual([kinds(socket), client.seen], [[], []]);
  // Its head says it, and its payload is not waited for.
  socket.receive(new Uint8Array([0x80, 127, 0, 0, 0, 0, 0, 0x80, 0, 1]));
  assert.deepEqual(kinds(socket), [0x88]);
  assert.deepEqual(client.seen, ["cut"]);
});

Deno.test("Bridge yields after 1,000 messages of a backend", () => {
  // A piece of 64 KB may hold 32,000 empty messages, and each costs some
  // microseconds, in which every other client would wait.
  const { socket, client, state } = bridged();
  socket.receive(bytesOf("\x81\x00".repeat(2_500)));
  assert.equal(client.seen.length, 1_000);
  assert.equal(socket.paused, true);
  state.later.shift()!();
  assert.equal(client.seen.length, 2_000);
  state.later.shift()!();
  assert.equal(client.seen.length, 2_500);
  assert.equal(state.later.length, 0);
  assert.equal(socket.paused, false);
  // Those of another piece begin a turn of their own.
  socket.receive(bytesOf("\x81\x00".repeat(900)));
  assert.equal(client.seen.length, 3_400);
});

Deno.test("Bridge does not resume after a turn while its client has no room", () => {
  const { bridge, socket, client, state } = bridged();
  const send = client.send.bind(client);
  client.send = (data) => send(data) && client.seen.length !== 1_000;
  socket.receive(bytesOf("\x81\x00".repeat(2_500)));
  state.later.shift()!();
  assert.equal(client.seen.length, 1_000);
  bridge.drained();
  assert.equal(client.seen.length, 2_000);
});

Deno.test("Bridge passes on what came before its client did", () => {
  const { bridge, socket, client } = bridged(undefined, {
    late: true,
    rest: [text("a")],
  });
  socket.resume();
  socket.receive(new Uint8Array([...text("b"), ...CLOSE_1000]));
  socket.finish();
  assert.equal(socket.destroyed, false);
  bridge.opened(client);
  assert.deepEqual(client.seen, ["a", "b", ["close", 1000, ""]]);
  assert.equal(socket.destroyed, true);
});

Deno.test("Bridge passes on what a backend said before it ended, to a slow client too", () => {
  const { bridge, socket, client } = bridged();
  client.room = false;
  socket.receive(new Uint8Array([...text("a"), ...text("b"), ...CLOSE_1000]));
  // The end is seen although nothing is read.
  socket.paused = false;
  socket.finish();
  assert.deepEqual(client.seen, ["a"]);
  client.room = true;
  bridge.drained();
  assert.deepEqual(client.seen, ["a", "b", ["close", 1000, ""]]);
  assert.equal(socket.destroyed, true);
});

Deno.test("Bridge abandons a client that does not accept its 101", () => {
  // Deno says nothing of one that has left by then: its backend's connection
  // stayed open for ten seconds.
  for (const how of ["waits", "left"]) {
    const { bridge, socket, state, client } = bridged(undefined, {
      late: true,
    });
    if (how === "left") {
      socket.resume();
      socket.finish();
    }
    bridge.checkTimeouts(1_900);
    assert.equal(state.over, 0);
    bridge.checkTimeouts(2_000);
    assert.equal(socket.destroyed, true);
    assert.equal(state.over, 1, how);
    // And if it comes all the same, it is told.
    bridge.opened(client);
    assert.deepEqual(client.seen, ["cut"]);
  }
});

Deno.test("Bridge closes its backend's connection, whatever ends it", () => {
  const ends: [string, (world: World) => void][] = [
    ["the client closes", ({ bridge }) => bridge.closed(1000, "")],
    ["the client breaks", ({ bridge }) => bridge.closed(1006, "")],
    ["the client says no code", ({ bridge }) => bridge.closed(1005, "")],
    ["the backend closes", ({ socket }) => socket.receive(CLOSE_1000)],
    ["the backend leaves", ({ socket }) => socket.finish()],
    ["the backend breaks", ({ socket }) => socket.finish(new Error("reset"))],
    ["in a frame", ({ socket }) => {
      socket.receive(bytesOf("\x81\x05he"));
      socket.finish();
    }],
    ["a bad frame", ({ socket }) => socket.receive(bytesOf("\xff\xff"))],
    ["too big a message", ({ bridge }) => {
      bridge.message(new Uint8Array(16 * MB + 1));
    }],
    ["the proxy stops", ({ bridge }) => bridge.abandon()],
    ["the proxy drains", ({ bridge }) => bridge.goAway()],
    ["it holds too much", ({ bridge }) => bridge.shed()],
  ];
  for (const [what, end] of ends) {
    for (const room of [true, false]) {
      const world = bridged();
      world.client.room = room;
      world.socket.receive(new Uint8Array([...text("a"), ...text("b")]));
      end(world);
      // A backend's end behind what a client does not take is seen when the
      // client leaves.
      if (!room) world.bridge.closed(1006, "");
      // Neither side says anything more.
      world.bridge.checkTimeouts(0);
      world.bridge.checkTimeouts(1_000);
      assert.equal(world.socket.destroyed, true, what);
      world.bridge.checkTimeouts(11_000);
      world.bridge.checkTimeouts(22_000);
      assert.equal(world.state.over, 1, what);
    }
  }
});

Deno.test("Bridge ends once both sides have, with one callback", () => {
  const { bridge, socket, client, state } = bridged();
  socket.receive(CLOSE_1000);
  assert.deepEqual(client.seen, [["close", 1000, ""]]);
  assert.deepEqual(kinds(socket), [0x88]);
  bridge.closed(1000, "");
  assert.equal(state.over, 0);
  socket.finish();
  assert.equal(state.over, 1);
  bridge.closed(1000, "");
  bridge.checkTimeouts(100_000);
  assert.equal(state.over, 1);
});

Deno.test("Bridge cuts a backend that does not end a closed connection", () => {
  const { bridge, socket, state } = bridged();
  bridge.closed(1001, "away");
  bridge.checkTimeouts(500);
  assert.equal(socket.destroyed, false);
  bridge.checkTimeouts(1_000);
  assert.equal(socket.destroyed, true);
  assert.equal(state.over, 1);
});

Deno.test("Bridge cuts a backend that sends after its close frame", () => {
  // It was read for a second, at whatever speed it wrote.
  const { socket, bridge, state } = bridged();
  socket.receive(CLOSE_1000);
  assert.equal(socket.destroyed, false);
  socket.receive(text("more"));
  assert.equal(socket.destroyed, true);
  bridge.closed(1000, "");
  assert.equal(state.over, 1);
});

Deno.test("Bridge gives a slow backend time to read what a client has left it", () => {
  const { bridge, socket } = bridged();
  socket.queued = 1_000;
  bridge.closed(1000, "");
  for (let now = 0; now < 60_000; now += 5_000) {
    socket.queued--;
    bridge.checkTimeouts(now);
  }
  assert.equal(socket.destroyed, false);
  bridge.checkTimeouts(70_000);
  assert.equal(socket.destroyed, true);
});

Deno.test("Bridge answers pings, but not those of a backend that does not read", () => {
  const { socket } = bridged();
  socket.receive(bytesOf("\x89\x01p"));
  assert.deepEqual(kinds(socket), [0x8a]);
  socket.queued = 2 ** 20;
  socket.receive(bytesOf("\x89\x01p"));
  assert.deepEqual(kinds(socket), [0x8a]);
});

Deno.test("Bridge.goAway() closes both sides with 1001, also a client that opens later", () => {
  const { bridge, socket, client } = bridged();
  bridge.goAway();
  bridge.goAway();
  assert.deepEqual(client.seen, [["close", 1001, ""]]);
  assert.deepEqual(kinds(socket), [0x88]);
  assert.equal(frameOf(OPCODE.close, "").length, closeFrame(undefined).length);

  const late = bridged(undefined, { late: true });
  late.bridge.goAway();
  late.bridge.opened(late.client);
  assert.deepEqual(late.client.seen, [["close", 1001, ""]]);
});

Deno.test("Bridge answers the last of many pings", () => {
  const { socket } = bridged();
  socket.receive(bytesOf("\x89\x01a\x89\x01b".repeat(400)));
  assert.deepEqual(kinds(socket), [0x8a]);
  socket.receive(bytesOf("\x89\x01c"));
  assert.deepEqual(kinds(socket), [0x8a, 0x8a]);
});

Deno.test("Bridges together hold no more than their budget", () => {
  const budget = new BridgeBudget(1, 4 * MB);
  const part = (size: number) =>
    new Uint8Array([
      0x82,
      127,
      0,
      0,
      0,
      0,
      0,
      0x80,
      0,
      0,
      ...new Uint8Array(size),
    ]);
  const small = bridged(undefined, { budget });
  const large = bridged(undefined, { budget });
  const other = bridged(undefined, { budget });
  large.socket.receive(part(2 * MB));
  other.socket.receive(part(1.5 * MB));
  assert.deepEqual(large.client.seen, []);
  // The one that holds most is closed, and not the one that comes last.
  small.socket.receive(part(0.75 * MB));
  assert.deepEqual(large.client.seen, [["close", 1013, "too much is waiting"]]);
  assert.deepEqual(kinds(large.socket), [0x88]);
  assert.deepEqual(large.state.log, [
    "WebSockets hold too much memory: closing the one that holds most",
  ]);
  assert.deepEqual([small.client.seen, other.client.seen], [[], []]);
  assert.ok(budget.total < 2.5 * MB, String(budget.total));
  other.bridge.closed(1006, "");
  other.bridge.checkTimeouts(1_000);
  small.bridge.abandon();
  assert.equal(budget.total, 0);
});

Deno.test("Bridges count toward their budget what backends do not take", () => {
  const budget = new BridgeBudget(1, 4 * MB);
  const { bridge, socket } = bridged(undefined, { budget });
  socket.answer = (text) => socket.queued += text.length;
  bridge.message(new Uint8Array(MB));
  assert.equal(budget.total, socket.queued);
  assert.ok(budget.total > MB);
});

Deno.test("Bridge.shed() releases at once what a side does not read", () => {
  const slow = bridged();
  slow.socket.queued = 2 * MB;
  slow.bridge.shed();
  assert.equal(slow.socket.destroyed, true);
  assert.equal(slow.bridge.held, 0);
  const client = bridged();
  client.client.queued = 2 * MB;
  client.bridge.shed();
  assert.deepEqual(client.client.seen, [
    ["close", 1013, "too much is waiting"],
    "cut",
  ]);
});
