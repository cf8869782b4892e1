import assert from "node:assert/strict";
import { A, faults } from "../testing/settings.ts";
import { listenersOf, readBackends } from "./read_backends.ts";

Deno.test("readSettings() names the line of BACKENDS_FILE that is wrong", () => {
  const found = faults({ BACKENDS_FILE: "/b" }, [], { "/b": `${A}\nb:80\n` });
  assert.deepEqual(found, [
    'BACKENDS_FILE: line 2, "b:80" has no scheme: write http://b',
  ]);
});

Deno.test("readSettings() shows ten faults of a list and counts the rest", () => {
  for (const name of ["BACKENDS", "BACKENDS_FILE"]) {
    const text = "x\n".repeat(1000);
    const found = faults({ [name]: name === "BACKENDS" ? text : "/b" }, [], {
      "/b": text,
    });
    assert.equal(found.length, 11);
    assert.equal(found.at(-1), `${name}: 990 more entries are wrong`);
  }
});

Deno.test("readBackends() refuses the listener itself and nothing else", () => {
  const cases: [url: string, host: string, refused: boolean][] = [
    ["http://localhost:81", "0.0.0.0", true],
    ["https://localhost:81", "0.0.0.0", true],
    ["http://app.localhost:81", "::", true],
    ["http://127.0.0.2:81", "0.0.0.0", true],
    ["http://0.0.0.0:81", "127.0.0.1", true],
    ["http://[::]:81", "localhost", true],
    ["http://127.0.0.2:81", "127.0.0.1", false],
    ["http://127.0.0.1:81", "10.0.0.1", false],
    ["http://10.0.0.1:81", "10.0.0.1", true],
    ["http://[::ffff:10.0.0.1]:81", "10.0.0.1", true],
    ["http://app.test:81", "app.test", true],
    ["http://app.test:81", "0.0.0.0", false],
    ["http://localhost:82", "0.0.0.0", false],
    ["unix:/run/app.sock", "0.0.0.0", false],
  ];
  for (const [url, host, refused] of cases) {
    const list = readBackends("B", url, [{ host, port: 81 }], () => undefined);
    assert.equal(list.faults.length > 0, refused, `${url} at ${host}`);
  }
  const free = readBackends("B", A, listenersOf({ port: 0 }), () => undefined);
  assert.deepEqual(free.faults, []);
});

// By it the admin API and the metrics would be served to all clients.
Deno.test("readBackends() refuses the proxy's own admin port", () => {
  const cases: [url: string, host: string | string[], refused: boolean][] = [
    ["http://127.0.0.1:91", "127.0.0.1", true],
    ["http://localhost:91/metrics", "127.0.0.1", true],
    ["http://0.0.0.0:91", "127.0.0.1", true],
    ["http://[::1]:91", "::", true],
    ["http://admin.test:91", ["admin.test"], true],
    ["http://127.0.0.1:91", ["127.0.0.1", "admin.test"], true],
    ["http://127.0.0.1:92", "127.0.0.1", false],
    ["http://10.0.0.1:91", "127.0.0.1", false],
  ];
  for (const [url, host, refused] of cases) {
    const own = listenersOf({ port: 81, admin: { port: 91, host } });
    const { faults } = readBackends("B", url, own, () => undefined);
    assert.equal(faults.length, refused ? 1 : 0, `${url} at ${host}`);
    if (refused) assert.match(faults[0]!, /is this proxy's admin port: write/);
  }
  const off = listenersOf({ port: 81, admin: false });
  const free = readBackends("B", "http://127.0.0.1:91", off, () => undefined);
  assert.deepEqual(free.faults, []);
});
