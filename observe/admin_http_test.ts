import assert from "node:assert/strict";
import { FakeClock } from "../testing/clock.ts";
import { bearerOf, bodyOf, partsOf, Refused } from "./admin_http.ts";

Deno.test("partsOf() finds path and query in every form of a runtime's URL", () => {
  const cases: [url: string, path: string, query: string][] = [
    ["http://a.test/x?y=1&z", "/x", "y=1&z"],
    ["https://a.test:81/", "/", ""],
    ["http://a.test", "/", ""],
    ["http://a.test?x", "/", "x"],
    ["/x?y", "/x", "y"],
    ["/x#y?z", "/x", ""],
    ["*", "*", ""],
    ["http://a.test//b?c?d", "//b", "c?d"],
    ["", "/", ""],
  ];
  for (const [url, path, query] of cases) {
    assert.deepEqual(partsOf(url), { path, query }, url);
  }
});

Deno.test("bearerOf() takes one token after the scheme", () => {
  const cases: [field: string | null, token: string | undefined][] = [
    ["Bearer abc", "abc"],
    ["bearer  abc ", "abc"],
    ["Bearer abc def", undefined],
    ["Bearer", undefined],
    ["Bearer  ", undefined],
    ["Basic abc", undefined],
    ["xBearer abc", undefined],
    [null, undefined],
  ];
  for (const [field, token] of cases) {
    assert.equal(bearerOf(field), token, `${field}`);
  }
});

/** A request with a body that is sent as the test says. */
function request(body: ReadableStream<Uint8Array>): Request {
  return new Request("http://a.test/", { method: "POST", body });
}

Deno.test("bodyOf() waits 10 s for a body, and then cancels it", async () => {
  const clock = new FakeClock();
  let cancelled = false;
  const reading = bodyOf(
    request(
      new ReadableStream({
        start: (controller) =>
          controller.enqueue(new TextEncoder().encode('{"url":')),
        cancel: () => {
          cancelled = true;
        },
      }),
    ),
    clock,
    { url: "a text" },
  );
  const refused = assert.rejects(
    reading,
    (error) =>
      error instanceof Refused && error.status === 408 &&
      error.fields.connection === "close",
  );
  await clock.advance(9_999);
  assert.equal(cancelled, false);
  await clock.advance(1);
  await refused;
  assert.equal(cancelled, true);
  assert.equal(clock.pending, 0);
});

Deno.test("bodyOf() stops at 16 KB", async () => {
  const clock = new FakeClock();
  let pulls = 0;
  await assert.rejects(
    bodyOf(
      request(
        new ReadableStream({
          pull(controller) {
            pulls++;
            controller.enqueue(new Uint8Array(1024).fill(32));
          },
        }, { highWaterMark: 0 }),
      ),
      clock,
      { url: "a text" },
    ),
    (error) => error instanceof Refused && error.status === 413,
  );
  assert.ok(pulls <= 18, `${pulls}`);
  assert.equal(clock.pending, 0);
});
