/**
 * onError and onSettled: replaced responses, and the record of each request.
 */

import assert from "node:assert/strict";
import type { ProxyFailure, RequestRecord } from "../mod.ts";
import { settle } from "../testing/clock.ts";
import {
  A,
  FAILING,
  never,
  proxyOf,
  unharmed,
  URL_,
} from "../testing/hooked.ts";

for (const [how, fail] of FAILING) {
  Deno.test(`onError() that ${how} keeps our response`, async () => {
    const used = proxyOf({ onError: fail, maxBodyBytes: 1 });
    const { status, text } = await used.ask({
      method: "POST",
      body: "too much",
      headers: { "content-length": "8" },
    });
    assert.equal(status, 413);
    assert.match(text, /^Content too large/);
    assert.equal(used.lines.length, 1, String(used.lines));
    assert.match(used.lines[0]!, /onError failed/);
    unharmed(used, 0);
    await used.proxy.stop();
  });
}

Deno.test("onError() replaces the response to a refused or failed request, by our rules", async () => {
  const failures: ProxyFailure[] = [];
  const records: RequestRecord[] = [];
  const used = proxyOf({
    requestId: true,
    maxBodyBytes: 4,
    retries: 0,
    eject: false,
    onSettled: (record) => records.push(record),
    onError(failure, { clientAddress, request }) {
      assert.equal(clientAddress, "192.0.2.7");
      assert.equal(request.url, URL_);
      failures.push(failure);
      return new Response(`no: ${failure.status}`, {
        status: failure.status,
        headers: { "content-length": "1", connection: "x-none" },
      });
    },
  }, () => {
    throw new TypeError("connection refused");
  });
  const large = await used.ask({
    method: "POST",
    body: "12345",
    headers: { "content-length": "5" },
  }, "192.0.2.7");
  assert.deepEqual([large.status, large.text], [413, "no: 413"]);
  assert.equal(large.headers.get("connection"), "close");
  assert.equal(large.headers.get("content-length"), "7");
  const failed = await used.ask({}, "192.0.2.7");
  assert.deepEqual([failed.status, failed.text], [502, "no: 502"]);
  assert.match(failed.headers.get("proxy-status")!, /^sluice; error=/);
  assert.match(failed.headers.get("x-request-id")!, /^[\w-]{36}$/);
  assert.equal(failed.headers.get("cache-control"), "no-store");
  const head = await used.ask({ method: "HEAD" }, "192.0.2.7");
  assert.deepEqual([head.status, head.text], [502, ""]);
  used.proxy.pool.backends[0]!.up = false;
  const none = await used.ask({}, "192.0.2.7");
  assert.equal(none.headers.get("retry-after"), "1");
  assert.deepEqual(failures.map(({ status, type }) => [status, type]), [
    [413, "http_request_denied"],
    [502, failures[1]!.type],
    [502, failures[1]!.type],
    [503, "destination_unavailable"],
  ]);
  assert.ok(failures.every(({ reason }) => reason !== ""));
  assert.deepEqual(records.map(({ status, bytes }) => [status, bytes]), [
    [413, 7],
    [502, 7],
    [502, 0],
    [503, 7],
  ]);
  await used.proxy.stop();
});

Deno.test("onError() that returns nothing, or too much, keeps our response", async () => {
  for (const given of [undefined, new Response(new Uint8Array(1024 * 1025))]) {
    const used = proxyOf({ onError: () => given });
    used.proxy.pool.backends[0]!.up = false;
    const { status, text } = await used.ask();
    assert.equal(status, 503);
    assert.match(text, /^Service unavailable/);
    await used.proxy.stop();
  }
});

Deno.test("onError() that never ends is ended by timeoutMs", async () => {
  for (const up of [true, false]) {
    // Of a request that is refused nothing is under way that could be swept.
    const used = proxyOf({ onError: never, timeoutMs: 500, maxBodyBytes: 1 });
    used.proxy.pool.backends[0]!.up = up;
    const answer = used.ask(
      up
        ? { method: "POST", body: "xx", headers: { "content-length": "2" } }
        : {},
    );
    await used.clock.advance(600);
    assert.equal((await answer).status, up ? 413 : 503);
    assert.match(used.lines[0]!, /onError failed .*longer than timeoutMs/);
    unharmed(used, 0);
    await used.proxy.stop();
  }
});

Deno.test("onError() is not called for a disconnected client, nor for OPTIONS with Max-Forwards 0", async () => {
  let asked = 0;
  const used = proxyOf({ onError: () => void asked++ });
  const left = await used.proxy.fetch(new Request(URL_), {
    clientAddress: null,
  });
  assert.equal(left.status, 499);
  const options = await used.ask({
    method: "OPTIONS",
    headers: { "max-forwards": "0" },
  });
  assert.equal(options.status, 204);
  assert.equal(asked, 0);
  await used.proxy.stop();
});

Deno.test("onSettled() has the fields of the access log, with or without the log", async () => {
  const access: string[] = [];
  for (const accessLog of ["json", "combined", false] as const) {
    const records: RequestRecord[] = [];
    const used = proxyOf({
      accessLog,
      logQuery: false,
      requestId: true,
      trace: true,
      logAccess: (line) => access.push(line),
      onSettled: (record) => records.push(record),
    }, () => new Response("answer"));
    const response = await used.proxy.fetch(new Request(URL_));
    await settle();
    assert.equal(records.length, 0, "its body has not ended");
    await response.text();
    await used.ask({ method: "TRACE" as string }).catch(() => {});
    assert.equal(records[0]!.target, "/path");
    if (accessLog === "json") {
      assert.deepEqual(records.map(timeless), access.map(parsed));
    }
    assert.equal(records[0]!.attempts[0]!.backend, A);
    assert.equal(records[0]!.bytes, 6);
    await used.proxy.stop();
  }
});

Deno.test("onSettled() names the limit that an upload of unknown length exceeds", async () => {
  // It was said that the client left, which was still there to get the 413.
  const records: RequestRecord[] = [];
  const used = proxyOf({
    maxBodyBytes: 4,
    onSettled: (record) => records.push(record),
  });
  const { status } = await used.ask({
    method: "POST",
    body: new Blob(["12345"]).stream(),
    headers: { "transfer-encoding": "chunked" },
  });
  assert.equal(status, 413);
  const [{ attempts }] = records as [RequestRecord];
  assert.deepEqual(
    attempts.map(({ outcome }) => outcome),
    ["the body is larger than MAX_BODY"],
  );
  unharmed(used, 1);
  await used.proxy.stop();
});

/** A record without what differs by a moment. */
function timeless({ time, ...record }: RequestRecord): unknown {
  assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  return record;
}

function parsed(line: string): unknown {
  return timeless(JSON.parse(line));
}

for (
  const [how, fail] of [
    ...FAILING.slice(0, 4),
    ["never ends", never] as [string, () => never],
  ]
) {
  Deno.test(`onSettled() that ${how} harms nothing`, async () => {
    const used = proxyOf({ onSettled: fail });
    for (let i = 0; i < 3; i++) assert.equal((await used.ask()).status, 200);
    await settle();
    unharmed(used, 3);
    assert.ok(used.lines.length <= 1, String(used.lines));
    await used.proxy.stop();
  });
}
