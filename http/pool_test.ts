import assert from "node:assert/strict";
import { ClientRig, FakePayload, textOf } from "../testing/client_rig.ts";
import { settle } from "../testing/clock.ts";
import { type Answer, type ClientRequest, Unanswered } from "./call.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** Sends a request and has it answered; gives the connection's place. */
async function answered(
  rig: ClientRig,
  { text = OK, ...request }:
    & { text?: string }
    & Partial<ClientRequest> = {},
): Promise<number> {
  const before = rig.connections.map(({ written }) => written);
  const { answer } = await rig.send(request);
  const at = rig.connections.findIndex(({ written }, i) =>
    written !== (before[i] ?? "")
  );
  rig.connections[at]!.receive(text);
  assert.equal(await textOf(await answer), "ok");
  return at;
}

async function failure(answer: Promise<Answer>): Promise<Unanswered> {
  const error = await answer.then(
    () => assert.fail("There is an answer"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof Unanswered, String(error));
  return error;
}

Deno.test("Pool carries one request at a time on a connection, and then the next", async () => {
  const rig = new ClientRig();
  const first = await rig.send();
  const second = await rig.send();
  assert.equal(rig.connections.length, 2);
  rig.connections[0]!.receive(OK);
  rig.connections[1]!.receive(OK);
  await Promise.all([first.answer, second.answer]);
  for (let i = 0; i < 5; i++) await answered(rig);
  assert.equal(rig.connections.length, 2);
});

Deno.test("Pool uses the most recently used connection, so that others grow old", async () => {
  const rig = new ClientRig();
  const calls = [await rig.send(), await rig.send(), await rig.send()];
  for (const at of [1, 2, 0]) rig.connections[at]!.receive(OK);
  await Promise.all(calls.map(({ answer }) => answer));
  for (let i = 0; i < 9; i++) {
    await rig.clock.advance(1_000);
    assert.equal(await answered(rig), 0);
  }
  assert.deepEqual(
    rig.connections.map(({ destroyed }) => destroyed),
    [false, true, true],
  );
});

Deno.test("Pool closes an idle connection after 4 s, or earlier if the backend announces it", async () => {
  for (
    const [field, keptMs, gone] of [
      ["", 3_000, 4_000],
      ["Keep-Alive: timeout=5, max=100\r\n", 3_000, 4_000],
      ["Keep-Alive: max=9, timeout=2\r\n", 1_000, 2_000],
      ["Keep-Alive: timeout=1\r\n", 0, 1_000],
      ["Keep-Alive: timeout=0\r\n", -1, 0],
      ["Keep-Alive: timeout=later\r\n", 3_000, 4_000],
      ["Connection: close\r\n", -1, 0],
    ] as const
  ) {
    const rig = new ClientRig();
    const text = OK.replace("\r\n", `\r\n${field}`);
    await answered(rig, { text });
    if (keptMs >= 0) {
      await rig.clock.advance(keptMs);
      assert.equal(rig.last.destroyed, false, field);
      await rig.clock.advance(gone - keptMs);
    }
    assert.equal(rig.last.destroyed, true, field);
    // No timer is left behind.
    await rig.clock.advance(1_000);
    assert.equal(rig.clock.pending, 0, field);
    await answered(rig);
    assert.equal(rig.connections.length, 2, field);
  }
});

Deno.test("Pool keeps no connection after a response of HTTP/1.0", async () => {
  for (const field of ["", "Connection: keep-alive\r\n"]) {
    const rig = new ClientRig();
    const text = OK.replace(
      "HTTP/1.1 200 OK\r\n",
      `HTTP/1.0 200 OK\r\n${field}`,
    );
    await answered(rig, { text });
    assert.equal(rig.last.destroyed, true);
  }
});

Deno.test("Pool watches idle connections: one that has ended is not used", async () => {
  for (const error of [undefined, new Error("reset")]) {
    const rig = new ClientRig();
    await answered(rig);
    assert.equal(rig.pool.idle, 1);
    rig.last.finish(error);
    assert.equal(rig.pool.idle, 0);
    assert.equal(rig.last.destroyed, true);
    // Also a POST is sent then, since nothing of it was lost.
    const { answer } = await rig.send({ method: "POST" });
    rig.last.receive(OK);
    assert.equal(await textOf(await answer), "ok");
  }
});

Deno.test("Pool risks no kept connection for a POST once the backend has closed one", async () => {
  // Of a backend that closes after each response, and does not announce it, a
  // third of all POSTs failed.
  const rig = new ClientRig();
  const calls = [await rig.send(), await rig.send(), await rig.send()];
  for (const connection of rig.connections) connection.receive(OK);
  for (const { answer } of calls) {
    assert.equal(await textOf(await answer), "ok");
  }
  await settle();
  assert.equal(rig.pool.idle, 3);
  rig.connections[0]!.finish();
  const post = { method: "POST" };
  assert.equal(await answered(rig, post), 3);
  // A body that is read while it is sent cannot be repeated either.
  const put = { method: "PUT", repeatable: true };
  const payload = () => new FakePayload().push().of(0);
  assert.equal(await answered(rig, { ...put, payload: payload() }), 4);
  // What can be repeated is sent on kept ones as before.
  assert.ok(await answered(rig, put) < 5);
  for (let second = 1; second <= 11; second++) {
    await rig.clock.advance(1_000);
    await answered(rig);
    const count = rig.connections.length;
    const kept = await answered(rig, post) < count;
    assert.equal(kept, second >= 10, `after ${second} s`);
  }
});

Deno.test("Pool risks no kept connection either if the backend closes one right after its response", async () => {
  const rig = new ClientRig();
  const calls = [await rig.send(), await rig.send()];
  for (const connection of rig.connections) connection.receive(OK);
  // In the turn of its response, before it counts as idle.
  rig.connections[0]!.finish();
  for (const { answer } of calls) {
    assert.equal(await textOf(await answer), "ok");
  }
  assert.equal(await answered(rig, { method: "POST" }), 2);
});

Deno.test("Pool counts also the end of a connection that has just become idle", async () => {
  const rig = new ClientRig();
  const calls = [await rig.send(), await rig.send()];
  rig.connections[0]!.receive(OK);
  await calls[0]!.answer;
  await settle();
  rig.connections[1]!.receive(OK);
  rig.connections[1]!.finish();
  await calls[1]!.answer;
  assert.equal(await answered(rig, { method: "POST" }), 2);
});

Deno.test("Pool reuses no connection for 10 s once a backend has sent more than was asked", async () => {
  const rig = new ClientRig();
  const calls = [await rig.send(), await rig.send(), await rig.send()];
  rig.connections[0]!.receive(OK);
  await calls[0]!.answer;
  await settle();
  // The second one has just become idle when the third one shows it.
  rig.connections[1]!.receive(OK);
  rig.connections[2]!.receive(OK + OK);
  for (const { answer } of calls) {
    assert.equal(await textOf(await answer), "ok");
  }
  await settle();
  assert.equal(rig.pool.idle, 0);
  for (let second = 1; second <= 11; second++) {
    await rig.clock.advance(1_000);
    const count = rig.connections.length;
    await answered(rig);
    assert.equal(rig.connections.length, count + (second > 10 ? 0 : 1));
    assert.equal(rig.last.destroyed, second < 10, `after ${second} s`);
  }
});

Deno.test("Pool never reads unexpected bytes as a response", async () => {
  // Some servers say 408 to an idle connection before they close it.
  const stray = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
  for (
    const send of [
      (rig: ClientRig) => rig.last.receive(OK + stray),
      (rig: ClientRig) => {
        rig.last.receive(OK);
        rig.last.receive(stray);
      },
      (rig: ClientRig) => {
        rig.last.receive(OK);
        rig.last.receive("\r\n");
      },
      // Behind a body that comes after its head, and behind the last chunk.
      (rig: ClientRig) => {
        rig.last.receive(OK.slice(0, -1));
        rig.last.receive(`k${stray}`);
      },
      (rig: ClientRig) =>
        rig.last.receive(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
            `2\r\nok\r\n0\r\n\r\n${stray}`,
        ),
      (rig: ClientRig) => {
        rig.last.receive(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok",
        );
        rig.last.receive(`\r\n0\r\n\r\n${stray}`);
      },
    ]
  ) {
    const rig = new ClientRig();
    const { answer } = await rig.send();
    send(rig);
    assert.equal(await textOf(await answer), "ok");
    assert.equal(rig.last.destroyed, true, String(send));
    await answered(rig);
    assert.equal(rig.connections.length, 2);
  }
});

// On Deno the result of a read waits its turn: of 300 forged answers that were
// here before the next request, 45 were given as its answer.
Deno.test("Pool uses a connection that has just become idle a turn later where reads lag", async () => {
  const rig = new ClientRig("own", { lags: true });
  const { answer } = await rig.send();
  const [first] = rig.connections;
  first!.receive(OK);
  assert.equal(await textOf(await answer), "ok");
  await settle();
  assert.equal(rig.pool.idle, 1);
  // Not `rig.send()`, which would wait until it has left.
  const next = rig.pool.send({
    method: "POST",
    target: "/",
    fields: [["host", "backend"]],
    repeatable: false,
    signal: new AbortController().signal,
  });
  assert.equal(first!.writes, 1, "nothing of it has left yet");
  first!.receive(OK.replace("ok", "no"));
  assert.equal(first!.destroyed, true);
  await settle();
  assert.equal(rig.connections.length, 2);
  rig.last.receive(OK);
  assert.equal(await textOf(await next), "ok");
});

Deno.test("Pool sends nothing of a request that is aborted while it waits for a turn", async () => {
  const rig = new ClientRig("own", { lags: true });
  const { answer } = await rig.send();
  const [first] = rig.connections;
  first!.receive(OK);
  await answer;
  await settle();
  const controller = new AbortController();
  const next = rig.pool.send({
    method: "GET",
    target: "/",
    fields: [["host", "backend"]],
    repeatable: true,
    signal: controller.signal,
  });
  const why = new Error("given up");
  controller.abort(why);
  await assert.rejects(next, (error) => error === why);
  assert.equal(first!.writes, 1);
  assert.equal(rig.pool.idle, 1);
});

Deno.test("Pool uses at once a connection that has been idle for a turn, also where reads lag", async () => {
  const rig = new ClientRig("own", { lags: true });
  const calls = [await rig.send(), await rig.send()];
  for (const at of [0, 1]) {
    rig.connections[at]!.receive(OK);
    await calls[at]!.answer;
    await settle();
  }
  const signal = new AbortController().signal;
  const next = rig.pool.send({
    method: "GET",
    target: "/",
    fields: [["host", "backend"]],
    repeatable: true,
    signal,
  });
  assert.deepEqual(rig.connections.map(({ writes }) => writes), [2, 1]);
  rig.connections[0]!.receive(OK);
  await next;
});

Deno.test("Pool lets a connection rest for a turn, to see bytes after the response first", async () => {
  // A backend that says a shorter length than it sends: the rest of its body may
  // be in the kernel when the answer is whole, and could be another answer.
  const stray = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
  for (const late of [false, true]) {
    const rig = new ClientRig();
    const first = await rig.send();
    const [used] = rig.connections;
    used!.receive(OK);
    const second = rig.pool.send({
      method: "GET",
      target: "/second",
      fields: [["host", "backend"]],
      repeatable: true,
      signal: new AbortController().signal,
    });
    if (late) await settle();
    used!.receive(stray);
    assert.equal(used!.destroyed, true);
    await settle();
    assert.equal(rig.connections.length, 2);
    rig.last.receive(OK);
    assert.equal(await textOf(await first.answer), "ok");
    assert.equal(await textOf(await second), "ok");
    // And nothing of this backend is kept now.
    assert.equal(rig.pool.size, 0);
  }
});

Deno.test("Client.close() and retire() forget what rests", async () => {
  for (const how of ["close", "retire"] as const) {
    const rig = new ClientRig();
    const { answer } = await rig.send();
    rig.last.receive(OK);
    await answer;
    if (how === "close") rig.client.close(new Error("stopped"));
    else rig.client.retire(rig.pool);
    await settle();
    assert.equal(rig.last.destroyed, true);
    assert.equal(rig.pool.size, 0);
    assert.equal(rig.pool.idle, 0);
  }
});

Deno.test("Pool gives an `alone` request its own connection, and closes it afterwards", async () => {
  const rig = new ClientRig();
  await answered(rig);
  assert.equal(await answered(rig, { alone: true }), 1);
  assert.match(rig.last.written, /\r\nConnection: close\r\n/);
  assert.equal(rig.last.destroyed, true);
  assert.equal(await answered(rig), 0);
});

Deno.test("Pool repeats a request on a new connection when a kept one has failed", async () => {
  for (const error of [undefined, new Error("reset")]) {
    const rig = new ClientRig();
    await answered(rig);
    const { answer } = await rig.send({ target: "/again" });
    rig.last.finish(error);
    await settle();
    assert.equal(rig.connections.length, 2);
    assert.match(rig.last.written, /^GET \/again /);
    rig.last.receive(OK);
    assert.equal(await textOf(await answer), "ok");
  }
});

Deno.test("Pool repeats a request once, and not after a byte of a response", async () => {
  const rig = new ClientRig();
  await answered(rig);
  const { answer } = await rig.send();
  rig.last.finish();
  await settle();
  rig.last.finish();
  assert.equal((await failure(answer)).reason, "ended");
  assert.equal(rig.connections.length, 2);

  await answered(rig);
  const begun = await rig.send();
  rig.last.receive("H");
  rig.last.finish();
  assert.equal((await failure(begun.answer)).sent, true);
  assert.equal(rig.connections.length, 3);
});

Deno.test("Pool never repeats a request that is not idempotent", async () => {
  const rig = new ClientRig();
  await answered(rig);
  const { answer } = await rig.send({
    method: "POST",
    whole: new Uint8Array(3),
  });
  rig.last.finish();
  const error = await failure(answer);
  assert.equal(error.sent, true);
  assert.equal(rig.connections.length, 1);
});

Deno.test("Pool repeats any request of which certainly nothing was sent", async () => {
  // The kept connection was reset, and the kernel takes nothing any more.
  const rig = new ClientRig();
  await answered(rig);
  rig.last.deaf = true;
  const { answer } = await rig.send({
    method: "POST",
    whole: new Uint8Array(3),
  });
  const first = rig.last;
  first.finish(new Error("reset"));
  await settle();
  assert.equal(rig.connections.length, 2);
  assert.match(rig.last.written, /^POST /);
  rig.last.receive(OK);
  assert.equal(await textOf(await answer), "ok");
  assert.doesNotMatch(first.written, /POST/);

  // A new connection that does so is no reason to try yet another one.
  rig.last.finish();
  rig.opened = (connection) => connection.deaf = true;
  const { answer: second } = await rig.send({ method: "POST" });
  rig.last.finish(new Error("reset"));
  assert.equal((await failure(second)).sent, false);
});

Deno.test("Pool does not forget that a request was sent when no second connection is made", async () => {
  const rig = new ClientRig();
  await answered(rig);
  const { answer } = await rig.send();
  rig.refusal = new Error("refused");
  rig.last.finish();
  const error = await failure(answer);
  assert.equal(error.reason, "unconnected");
  assert.equal(error.sent, true);
});

Deno.test("Pool keeps a bounded number of idle connections", async () => {
  const rig = new ClientRig();
  const calls = await Promise.all(
    Array.from({ length: 1_100 }, () => rig.send()),
  );
  for (const connection of rig.connections) connection.receive(OK);
  await Promise.all(calls.map(({ answer }) => answer));
  assert.equal(rig.pool.idle, 1_024);
  assert.equal(rig.pool.size, 1_024);
});

Deno.test("Client.retire() closes what is idle at once, and the rest when it has been used", async () => {
  const rig = new ClientRig();
  await answered(rig);
  const { answer } = await rig.send();
  const busy = rig.last;
  const other = await rig.send();
  rig.last.receive(OK);
  await other.answer;
  await settle();
  rig.client.retire(rig.pool);
  assert.equal(rig.last.destroyed, true);
  assert.equal(busy.destroyed, false);
  busy.receive(OK);
  assert.equal(await textOf(await answer), "ok");
  assert.equal(busy.destroyed, true);
  assert.equal(rig.pool.size, 0);
  await rig.clock.advance(1_000);
  assert.equal(rig.clock.pending, 0);
});
