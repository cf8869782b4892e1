/**
 * The pool changes while it works, and no request is lost: `BACKENDS_FILE`, its
 * signal, and what becomes of the requests of a backend that has left.
 */

import assert from "node:assert/strict";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { Load } from "./harness/load.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

/** A backend that returns its number. */
function numbered(number: number): Promise<RawBackend> {
  return rawBackend((conn) => conn.reply({ body: String(number) }));
}

/** A file of backends in its own folder. */
async function backendsFile(text: string) {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/backends`;
  await Deno.writeTextFile(path, text);
  return {
    path,
    /** What the program may read. */
    permissions: [`--allow-read=${folder}`],
    /** Replaces the file, as editors and Kubernetes do. */
    async put(text: string) {
      await Deno.writeTextFile(`${path}.new`, text);
      await Deno.rename(`${path}.new`, path);
    },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

const get = (port: number, target = "/") =>
  rawRequest(port, requestText("GET", target));

/** The responding backends of so many requests. */
async function answering(port: number, count: number): Promise<string> {
  const names = new Set<string>();
  for (let i = 0; i < count; i++) names.add((await get(port)).text);
  return [...names].sort().join(" ");
}

// `SLUICE_LONG=1` makes the changes over half a minute, detected by polling
// alone.
const long = Deno.env.get("SLUICE_LONG") === "1";

forBoth(
  "50 changes of BACKENDS_FILE under load lose no request",
  { timeoutMs: 120_000 },
  async (runtime) => {
    const backends = await Promise.all(
      Array.from({ length: 6 }, (_, i) => numbered(i)),
    );
    const list = (numbers: readonly number[]) =>
      numbers.map((i) => `${backends[i]!.url} weight=${1 + i % 3}\n`).join("");
    await using file = await backendsFile(list([0, 1]));
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS_FILE: file.path },
      permissions: file.permissions,
    });
    await using load = Load.start(proxy.port, { clients: 8 });
    let last: number[] = [];
    for (let change = 1; change <= 50; change++) {
      // Each backend joins and leaves; sometimes all change at once.
      last = [0, 1, 2, 3, 4, 5].filter((i) =>
        (change >> (i % 3)) % 2 === i % 2
      );
      if (last.length === 0) last = [change % 6];
      await file.put(`# change ${change}\n${list(last)}`);
      if (!long) proxy.signal("SIGHUP");
      await proxy.waitForLines(/BACKENDS_FILE read/, change, 10_000);
      const mark = load.answered + 40;
      await until(() => load.answered >= mark, { timeoutMs: 10_000 });
    }
    const { answered, failures } = await load.stop();
    assert.deepEqual(failures, []);
    assert.ok(answered >= 50 * 40, `${answered} requests`);
    console.log(`    ${answered} requests, 50 changes, 0 failed`);
    assert.equal(await answering(proxy.port, 40), last.join(" "));
    for (const backend of backends) await backend.stop();
  },
);

forBoth(
  "BACKENDS_FILE is read again when it changes, without a signal",
  async (runtime) => {
    await using a = await numbered(1);
    await using b = await numbered(2);
    await using file = await backendsFile(a.url);
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS_FILE: file.path },
      permissions: file.permissions,
    });
    assert.equal(await answering(proxy.port, 4), "1");
    await file.put(b.url);
    await proxy.waitForLine(
      /BACKENDS_FILE read: 1 backend \(1 added, 1 removed/,
    );
    assert.equal(await answering(proxy.port, 4), "2");
  },
);

forBoth(
  "a bad BACKENDS_FILE keeps the old list and logs the reason and the line",
  async (runtime) => {
    await using a = await numbered(1);
    await using b = await numbered(2);
    await using file = await backendsFile(a.url);
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS_FILE: file.path },
      permissions: file.permissions,
    });
    for (
      const [text, pattern] of [
        [
          `${b.url}\nftp://x\n`,
          /BACKENDS_FILE: line 2, "ftp:\/\/x" has an unsupported scheme/,
        ],
        ["# nothing\n", /BACKENDS_FILE: contains no backend/],
        [`\n\n${b.url} weight=x\n`, /BACKENDS_FILE: line 3, .*invalid weight/],
      ] as const
    ) {
      await file.put(text);
      proxy.signal("SIGHUP");
      await proxy.waitForLine(pattern);
      assert.equal(await answering(proxy.port, 4), "1");
    }
    const pipe = async (path: string) => {
      const made = await new Deno.Command("mkfifo", { args: [path] }).output();
      assert.ok(made.success);
    };
    // Of a device, 4 GB were read; a pipe was waited for, and nothing was read
    // any more.
    const inPlace: [(path: string) => Promise<void>, RegExp][] = [
      [() => Promise.resolve(), /cannot be read \(ENOENT/],
      [
        (path) => Deno.symlink("/dev/zero", path),
        /cannot be read \(.*zero|not a/,
      ],
      [(path) => Deno.writeTextFile(path, "#".repeat(2_000_000)), /than 1 MB/],
      [pipe, /backends is not a regular file/],
    ];
    for (const [put, pattern] of inPlace) {
      await Deno.remove(file.path).catch(() => {});
      await put(file.path);
      proxy.signal("SIGHUP");
      await proxy.waitForLine(pattern);
      assert.equal(await answering(proxy.port, 4), "1");
    }
    // It still works.
    await file.put(b.url);
    await proxy.waitForLine(/BACKENDS_FILE read/);
    assert.equal(await answering(proxy.port, 4), "2");
  },
);

forBoth(
  "SIGHUP without a file changes nothing and logs that",
  async (runtime) => {
    await using a = await numbered(1);
    await using proxy = await startProxy(runtime, { env: { BACKENDS: a.url } });
    proxy.signal("SIGHUP");
    await proxy.waitForLine(/SIGHUP has nothing to read again/);
    assert.equal(await answering(proxy.port, 2), "1");
  },
);

forBoth(
  "the requests of a removed backend are completed",
  async (runtime) => {
    const gate = Promise.withResolvers<void>();
    await using a = await rawBackend(async (conn, request) => {
      if (request.path === "/header") {
        await gate.promise;
        await conn.reply({ body: "late header" });
        return;
      }
      await conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
      await gate.promise;
      await conn.send("-last");
    });
    await using b = await numbered(2);
    await using file = await backendsFile(a.url);
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS_FILE: file.path },
      permissions: file.permissions,
    });
    const header = get(proxy.port, "/header");
    const body = get(proxy.port, "/body");
    await a.waitForRequests(2);
    await file.put(b.url);
    proxy.signal("SIGHUP");
    await proxy.waitForLine(/BACKENDS_FILE read/);
    assert.equal(await answering(proxy.port, 4), "2");
    gate.resolve();
    assert.equal((await header).text, "late header");
    assert.equal((await body).text, "first-last");
  },
);

forBoth(
  "a backend that stays in BACKENDS_FILE keeps its verdict, a new one is probed first",
  async (runtime) => {
    await using a = await numbered(1);
    await using b = await numbered(2);
    await using c = await numbered(3);
    b.health = 500;
    c.health = 500;
    await using file = await backendsFile(`${a.url}\n${b.url}`);
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS_FILE: file.path, HEALTH_INTERVAL: "1h" },
      permissions: file.permissions,
    });
    assert.equal(await answering(proxy.port, 6), "1");
    const asked = b.probes.length;
    // It is well now, but the next probe is an hour away.
    b.health = 200;
    await file.put(`${a.url}\n${b.url} weight=5\n${c.url}`);
    await proxy.waitForLine(
      /BACKENDS_FILE read: 3 backends \(1 added, 0 removed, 1 changed/,
    );
    assert.equal(await answering(proxy.port, 12), "1");
    assert.equal(b.probes.length, asked);
    await until(() => c.probes.length === 1);
  },
);

forBoth(
  "SLOW_START gives a new backend a tenth at first, and an initial one its full share",
  async (runtime) => {
    await using a = await numbered(1);
    await using b = await numbered(2);
    await using c = await numbered(3);
    await using file = await backendsFile(`${a.url}\n${b.url}`);
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS_FILE: file.path, SLOW_START: "1h" },
      permissions: file.permissions,
    });
    for (let i = 0; i < 10; i++) await get(proxy.port);
    assert.deepEqual([a.requests.length, b.requests.length], [5, 5]);
    await file.put(`${a.url}\n${c.url}`);
    proxy.signal("SIGHUP");
    await proxy.waitForLine(/BACKENDS_FILE read/);
    // A share of 1 to 10: a slow start of one hour hardly advances meanwhile.
    for (let i = 0; i < 110; i++) await get(proxy.port);
    const share = c.requests.length;
    assert.ok(share >= 8 && share <= 13, `${share} of 110`);
  },
);
