import assert from "node:assert/strict";
import { entriesIn } from "./move_socket.ts";

Deno.test("entriesIn() reads what Linux tells of an event loop", () => {
  const text = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1054\n" +
    "tfd:        5 events:       19 data:      2b5a5d80020  pos:0 ino:7d43 sdev:8\n" +
    "tfd:       12 events: 80000019 data: ffffffffffffffff  pos:0 ino:7d44 sdev:8\n";
  assert.deepEqual(entriesIn(text), [
    { fd: 5, events: 0x19, data: 0x2b5a5d80020n },
    { fd: 12, events: 0x80000019, data: 0xffffffffffffffffn },
  ]);
  assert.deepEqual(entriesIn("pos:\t0\ntfd:  5\n\n"), []);
});
