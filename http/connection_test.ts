import assert from "node:assert/strict";
import { ClientRig, textOf } from "../testing/client_rig.ts";
import { settle } from "../testing/clock.ts";
import { Unanswered } from "./call.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LATE = "HTTP/1.1 408 Request Timeout\r\n" +
  "Connection: close\r\nContent-Length: 0\r\n\r\n";

/** A request and its response; returns the number of connections opened. */
async function used(rig: ClientRig): Promise<number> {
  const { answer } = await rig.send();
  rig.last.receive(OK);
  assert.equal(await textOf(await answer), "ok");
  await settle();
  return rig.connections.length;
}

Deno.test("Connection that has ended before its request is sent fails it at once, as not sent", async () => {
  // It took until the time limit, and then counted as sent.
  const rig = new ClientRig();
  rig.opened = (connection) => connection.finish();
  const { answer } = await rig.send({ method: "POST" });
  const error = await answer.then(() => undefined, (error) => error);
  assert.ok(error instanceof Unanswered);
  assert.equal(error.reason, "ended");
  assert.equal(error.sent, false);
  assert.equal(rig.pool.size, 0);
});

Deno.test("Connection whose backend has answered, but reads no more of the request, is closed after a second", async () => {
  // It was neither idle nor busy, and stayed open as long as the backend wanted.
  const rig = new ClientRig("own", { lingers: false });
  rig.opened = (connection) => connection.holds = true;
  const { answer } = await rig.send({
    method: "PUT",
    whole: new Uint8Array(9),
  });
  rig.last.receive(OK);
  assert.equal(await textOf(await answer), "ok");
  assert.equal(rig.pool.size, 1);
  await rig.clock.advance(1_500);
  assert.equal(rig.last.destroyed, true);
  assert.equal(rig.pool.size, 0);
});

Deno.test("Connection whose request has left after its response is used again", async () => {
  const rig = new ClientRig();
  rig.opened = (connection) => connection.holds = true;
  const { answer } = await rig.send({
    method: "PUT",
    whole: new Uint8Array(9),
  });
  rig.last.receive(OK);
  await answer;
  rig.last.release();
  await settle();
  await rig.clock.advance(1_500);
  assert.equal(rig.pool.idle, 1);
  assert.equal(await used(rig), 1);
});

Deno.test("Connection with bytes that were not asked for keeps all of its backend from being reused, for 10 s", async () => {
  const stray = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
  for (const together of [true, false]) {
    const rig = new ClientRig();
    const first = await rig.send();
    const second = await rig.send();
    rig.connections[1]!.receive(OK);
    await second.answer;
    await settle();
    assert.equal(rig.pool.idle, 1);
    rig.connections[0]!.receive(together ? OK + stray : OK);
    if (!together) rig.connections[0]!.receive(stray);
    assert.equal(await textOf(await first.answer), "ok");
    assert.equal(rig.pool.size, 0);
    assert.equal(await used(rig), 3);
    assert.equal(await used(rig), 4);
    await rig.clock.advance(10_000);
    assert.equal(await used(rig), 5);
    assert.equal(await used(rig), 5);
  }
});

Deno.test("Connection that is closed after its response may say anything behind it", async () => {
  const rig = new ClientRig();
  await used(rig);
  const { answer } = await rig.send({ alone: true });
  rig.last.receive(`${OK}and more`);
  await answer;
  await settle();
  // The first one is still kept.
  assert.equal(rig.pool.idle, 1);
});

Deno.test("Connection that was kept and says 408 was closed before the request came", async () => {
  const rig = new ClientRig();
  await used(rig);
  const { answer } = await rig.send();
  rig.last.receive(LATE);
  await settle();
  assert.equal(rig.connections.length, 2);
  assert.equal(rig.connections[0]!.destroyed, true);
  // On a new connection it is a response.
  rig.last.receive(LATE);
  assert.equal((await answer).status, 408);
  assert.equal(rig.pool.size, 0);
});

Deno.test("Connection that says 408 does not have a POST sent twice", async () => {
  const rig = new ClientRig();
  await used(rig);
  const { answer } = await rig.send({ method: "POST" });
  rig.last.receive(LATE);
  assert.equal((await answer).status, 408);
  assert.equal(rig.connections.length, 1);
});
