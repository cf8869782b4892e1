import assert from "node:assert/strict"; // built in to both runtimes
import { createProxy } from "../mod.ts";

/** A proxy in a program of one's own, whose `fetch` never leaves it. */
function proxyOf(lines: string[]) {
  let asked = 0;
  return createProxy({
    backends: ["http://a.test", "http://b.test"],
    health: false,
    accessLog: "json",
    requestId: true,
    trace: true,
    logAccess: (line) => lines.push(line),
    log: () => {},
    fetch: () =>
      asked++ === 0
        ? Promise.reject(new TypeError("no"))
        : Promise.resolve(new Response("hello")),
  });
}

Deno.test("createProxy() hands each line of the access log to logAccess", async () => {
  const lines: string[] = [];
  await using proxy = proxyOf(lines);
  const response = await proxy.fetch(
    new Request("http://p.test/x?y", { headers: { cookie: "secret" } }),
    { clientAddress: "192.0.2.1" },
  );
  assert.equal(await response.text(), "hello");
  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0]!);
  assert.equal(line.client, "192.0.2.1");
  assert.equal(line.target, "/x?y");
  assert.equal(line.status, 200);
  assert.equal(line.bytes, 5);
  assert.equal(line.requestId, response.headers.get("x-request-id"));
  assert.equal(line.attempts.length, 2);
  assert.equal(line.backend, line.attempts[1].backend);
  assert.notEqual(line.attempts[0].backend, line.backend);
  assert.doesNotMatch(lines[0]!, /secret/);
});

Deno.test("Proxy.metrics() counts from its first call on", async () => {
  await using proxy = proxyOf([]);
  const ask = async () => {
    const response = await proxy.fetch(new Request("http://p.test/"));
    await response.text();
  };
  await ask();
  assert.doesNotMatch(proxy.metrics(), /^sluice_requests_total\{/m);
  await ask();
  await ask();
  assert.match(proxy.metrics(), /^sluice_requests_total\{code="200"\} 2$/m);
});
