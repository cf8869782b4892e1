/**
 * A process without free file descriptors: a backend that it cannot connect to
 * for that reason has not failed.
 *
 * While clients held all descriptors, each probe failed for lack of one, and
 * all backends were marked down. They came back as slowly as from a real
 * failure.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ADMIN_ENV, adminUrl, portOf } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, requestText } from "./harness/client.ts";
import { type ProxyProcess, startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { delay, until } from "./harness/wait.ts";
import { ASKING } from "./websocket/raw.ts";

const LONG = 20_000;

const options = Deno.build.os === "linux"
  ? { ...skippedWithout("prlimit"), timeoutMs: 90_000 }
  : { skip: "no prlimit here" };

/** Lets a running process open so many more descriptors. */
async function leave(proxy: ProxyProcess, more: number): Promise<void> {
  const open = new Set(
    Array.from(
      Deno.readDirSync(`/proc/${proxy.pid}/fd`),
      ({ name }) => Number(name),
    ),
  );
  // The limit applies to the number of a new one, which is the lowest free.
  let most = 0;
  for (let free = 0; free < more; most++) if (!open.has(most)) free++;
  const { success } = await new Deno.Command("prlimit", {
    args: ["--pid", String(proxy.pid), `--nofile=${most}:${most}`],
    stdout: "null",
    stderr: "null",
  }).output();
  assert.ok(success);
}

/** A folder that is removed at the end. */
async function temporary() {
  const path = await Deno.makeTempDir({ prefix: "sluice-" });
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

/** Clients that hold their connections until they are released. */
class Holders implements AsyncDisposable {
  readonly #connections: RawConnection[] = [];

  static async of(proxy: ProxyProcess, count: number): Promise<Holders> {
    const holders = new Holders();
    for (let i = 0; i < count; i++) {
      try {
        holders.#connections.push(await RawConnection.connect(proxy.port));
      } catch {
        // Deno's server ends when it cannot accept, and listens anew.
      }
    }
    return holders;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections.splice(0)) {
      await connection.close();
    }
  }
}

forBoth(
  "clients that hold all descriptors do not mark a backend down",
  options,
  async (runtime) => {
    await using a = await rawBackend();
    // By name: without a descriptor its lookup fails as "not found" or
    // "refused".
    await using b = await rawBackend();
    const named = `http://localhost:${b.port}`;
    await using folder = await temporary();
    const file = `${folder.path}/backends`;
    await Deno.writeTextFile(file, `${a.url}\n${named}\n`);
    await using proxy = await startProxy(runtime, {
      permissions: [`--allow-read=${folder.path}`],
      env: {
        BACKENDS_FILE: file,
        ...ADMIN_ENV,
        HEALTH_INTERVAL: "300ms",
        HEALTH_TIMEOUT: "290ms",
        EJECT_AFTER: "2",
        EJECT_TIME: "1m",
      },
    });
    // A connected client sends a request while no descriptor is left.
    await using client = await RawConnection.connect(proxy.port);
    assert.equal((await client.request(requestText("GET", "/"))).status, 200);
    const admin = portOf(await adminUrl(proxy));
    await using operator = await RawConnection.connect(admin);
    const metrics = async () => {
      const answer = await operator.request(
        requestText("GET", "/metrics", { host: "localhost" }),
      );
      return answer.status;
    };
    assert.equal(await metrics(), 200);
    await leave(proxy, 6);
    {
      await using _holders = await Holders.of(proxy, 40);
      await proxy.waitForLine(
        /cannot probe \(this process is out/,
        LONG,
      );
      // Ten intervals, of which three failures were enough.
      const end = performance.now() + 3_000;
      while (performance.now() < end) {
        await delay(100);
        // One that is told 503 gives its own descriptor back.
        if (client.wire.ending !== undefined) continue;
        const { status } = await client.request(requestText("GET", "/"));
        assert.ok([200, 503].includes(status), String(status));
      }
      if (client.wire.ending === undefined) {
        const upgrade = await client.request(
          requestText("GET", "/", { headers: ASKING }),
        );
        assert.ok([200, 503].includes(upgrade.status));
        if (upgrade.status === 503) {
          assert.equal(upgrade.header("connection"), "close");
        }
      }
      await proxy.waitForLine(/BACKENDS_FILE cannot be read .* stay as they/);
      assert.equal(await metrics(), 200);
    }
    // All is well as soon as they have left.
    const seen = [a.probes.length, b.probes.length];
    await until(
      () => a.probes.length > seen[0]! + 2 && b.probes.length > seen[1]! + 2,
      {
        timeoutMs: LONG,
        what: () => `probes to come again: ${proxy.log}`,
      },
    );
    const before = [a.requests.length, b.requests.length];
    await using late = await RawConnection.connect(proxy.port);
    for (let i = 0; i < 10; i++) {
      assert.equal((await late.request(requestText("GET", "/"))).status, 200);
    }
    assert.deepEqual(
      [a.requests.length - before[0]!, b.requests.length - before[1]!],
      [5, 5],
    );
    assert.doesNotMatch(proxy.log, /is down|is ejected/);
    const lines = proxy.stderr.filter((line) => line.includes("cannot probe"));
    assert.equal(lines.length, 1, proxy.log);
    await Deno.writeTextFile(file, a.url);
    await proxy.waitForLine(/BACKENDS_FILE read: 1 backend /);
  },
);

forBoth(
  "the very first request may come when no descriptor is left",
  options,
  async (runtime) => {
    // Bun starts its request thread with the first request, and aborts the
    // process if it has no descriptor then. Probes come first, if there are
    // any.
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, HEALTH_PATH: "off" },
    });
    await using client = await RawConnection.connect(proxy.port);
    // Answered by the proxy itself: it has accepted the connection by now.
    const own = requestText("OPTIONS", "/", {
      headers: { "Max-Forwards": "0" },
    });
    assert.equal((await client.request(own)).status, 204);
    await leave(proxy, 0);
    {
      await using _holders = await Holders.of(proxy, 5);
      const starved = await client.request(requestText("GET", "/"));
      assert.equal(starved.status, 503, proxy.log);
      assert.equal(backend.requests.length, 0);
    }
    assert.equal(proxy.exited, undefined);
  },
);
