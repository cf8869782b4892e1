/**
 * A process that lacks something: descriptors, space for its output, a steady
 * clock, a name server, time to accept. It keeps running, counts no failure of
 * a backend for it, and recovers as soon as it can.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { deadPort, hang, rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { Load } from "./harness/load.ts";
import { NameServer } from "./harness/name_server.ts";
import {
  type ProxyOptions,
  type ProxyProcess,
  startProxy,
  startUnheard,
} from "./harness/proxy.ts";
import { type CaseOptions, forBoth, skippedWithout } from "./harness/suite.ts";
import { delay, until, within } from "./harness/wait.ts";

/** "Within a second", with a margin for a busy machine. */
const SOON_MS = 10_000;

const GET = requestText("GET", "/");

/** The status on a new connection; 0 if there is no answer. */
async function fresh(proxy: ProxyProcess): Promise<number> {
  try {
    const { status } = await rawRequest(proxy.port, GET, { timeoutMs: 2_000 });
    return status;
  } catch {
    return 0;
  }
}

/** Waits until new connections are served; gives the milliseconds. */
async function servesAgain(proxy: ProxyProcess): Promise<number> {
  const from = performance.now();
  await until(async () => await fresh(proxy) === 200, {
    timeoutMs: SOON_MS,
    what: () => `an answer of status 200; ${proxy.log}`,
  });
  return performance.now() - from;
}

function say(what: string, ms: number): void {
  console.log(`    ${what}: served again after ${ms.toFixed(0)} ms`);
}

const PROBED = { HEALTH_INTERVAL: "300ms", HEALTH_TIMEOUT: "290ms" };

/** Limits the number of open files from the start. */
function limitedTo(files: number): Pick<ProxyOptions, "through"> {
  return { through: ["sh", "-c", `ulimit -n ${files}; exec "$@"`, "sh"] };
}

forBoth(
  "500 clients of a process that may open 256 files take no backend down, and leave no trace",
  { timeoutMs: 60_000 },
  async (runtime) => {
    await using a = await rawBackend();
    await using b = await rawBackend();
    await using proxy = await startProxy(runtime, {
      ...limitedTo(256),
      env: {
        BACKENDS: `${a.url},${b.url}`,
        HEALTH_INTERVAL: "1s",
        HEALTH_TIMEOUT: "900ms",
      },
    });
    assert.equal(await fresh(proxy), 200);
    const seen = new Map<number, number>();
    let leaving = false;
    // Deno's listener ends without descriptors and refuses some connections
    // until it is opened again: clients reconnect.
    const stays = async () => {
      while (!leaving) {
        try {
          await using client = await RawConnection.connect(proxy.port, {
            timeoutMs: 1_000,
          });
          const answer = await client.request(GET);
          const { status } = answer;
          seen.set(status, (seen.get(status) ?? 0) + 1);
          // Deno leaves it to the client to close.
          if (answer.header("connection") === "close") {
            await delay(50);
            continue;
          }
          while (!leaving && client.wire.ending === undefined) await delay(50);
        } catch {
          await delay(50);
        }
      }
    };
    const clients = Promise.all(Array.from({ length: 500 }, stays));
    await until(() => proxy.fds() >= 250, {
      timeoutMs: SOON_MS,
      what: () => `all descriptors to be taken, not ${proxy.fds()}`,
    });
    // Four probes or more, of which three failures would be enough.
    await delay(5_000);
    leaving = true;
    await clients;
    console.log(`    ${runtime}, answers meanwhile: ${[...seen].join(" ")}`);
    for (const status of seen.keys()) {
      // Clients hold the descriptors that backends would need: some get 503.
      assert.ok([0, 200, 503].includes(status), String(status));
    }
    say(`${runtime}, 256 files`, await servesAgain(proxy));
    const before = [a.requests.length, b.requests.length];
    for (let i = 0; i < 10; i++) assert.equal(await fresh(proxy), 200);
    assert.doesNotMatch(proxy.log, /is down|is ejected/);
    assert.deepEqual(
      [a.requests.length - before[0]!, b.requests.length - before[1]!],
      [5, 5],
      proxy.log,
    );
  },
);

/** How its output goes nowhere. */
const UNHEARD: [name: string, redirect: string, hangsUp: boolean][] = [
  ["both go to a full disk", ">/dev/full 2>&1", false],
  ["standard error goes to a full disk", "2>/dev/full", false],
  ["the reader of both has gone", "", true],
];

for (const [name, redirect, hangsUp] of UNHEARD) {
  forBoth(
    `output is lost and nothing else, when ${name}`,
    async (runtime) => {
      await using backend = await rawBackend();
      await using other = await rawBackend();
      await using proxy = await startUnheard(runtime, {
        env: {
          BACKENDS: `${backend.url},${other.url}`,
          PORT: String(await deadPort()),
          ACCESS_LOG: "json",
          HEALTH_RISE: "1",
          HEALTH_FALL: "1",
          ...PROBED,
        },
        ...redirect === ""
          ? {}
          : { through: ["sh", "-c", `exec "$@" ${redirect}`, "sh"] },
      });
      assert.equal(await fresh(proxy), 200);
      if (hangsUp) proxy.hangUp();
      await using load = Load.start(proxy.port, { clients: 4 });
      // Each of these is a line: a backend is down, is up again, SIGHUP.
      for (let i = 0; i < 3; i++) {
        const probes = other.probes.length;
        other.health = 500;
        await until(() => other.probes.length > probes + 1);
        other.health = 200;
        proxy.signal("SIGHUP");
        const requests = other.requests.length;
        await until(() => other.requests.length > requests, {
          timeoutMs: SOON_MS,
          what: "requests to the backend that is up again",
        });
      }
      const { answered, failures } = await load.stop();
      assert.deepEqual(failures, []);
      assert.ok(answered > 100, `${answered} answers`);
      assert.equal(proxy.exited, undefined);
      // It still exits, which waits for the log.
      proxy.signal("SIGTERM");
      assert.deepEqual(await proxy.waitForExit(), { code: 0, signal: null });
    },
  );
}

const FAKETIME = ["x86_64", "aarch64"].map((arch) =>
  `/usr/lib/${arch}-linux-gnu/faketime/libfaketimeMT.so.1`
).find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

/** Jumps of the system clock, one after the other. */
const JUMPS = ["+1d", "-2d", "+3650d", "-1h"];

forBoth(
  "a clock that jumps changes dates in the log and nothing else",
  {
    timeoutMs: 60_000,
    ...FAKETIME === undefined ? { skip: "faketime not installed" } : {},
  },
  async (runtime) => {
    const folder = await Deno.makeTempDir({ prefix: "sluice-" });
    try {
      const clock = `${folder}/clock`;
      await Deno.writeTextFile(clock, "+0");
      let broken = false;
      await using a = await rawBackend(async (conn) => {
        if (broken) await conn.reset();
        else await conn.reply({ body: "a" });
      });
      await using b = await rawBackend();
      await using proxy = await startProxy(runtime, {
        env: {
          BACKENDS: `${a.url},${b.url}`,
          ACCESS_LOG: "json",
          EJECT_AFTER: "1",
          EJECT_TIME: "300ms",
          RATE_LIMIT: "200/s",
          MAX_IN_FLIGHT: "auto",
          TIMEOUT: "5s",
          CLIENT_TIMEOUT: "5s",
          HEALTH_RISE: "1",
          HEALTH_FALL: "1",
          ...PROBED,
          LD_PRELOAD: FAKETIME,
          FAKETIME_TIMESTAMP_FILE: clock,
          FAKETIME_NO_CACHE: "1",
          FAKETIME_DONT_FAKE_MONOTONIC: "1",
        },
      });
      const counts = () => [a.requests.length, b.requests.length];
      const served = (from: number[]) =>
        until(() => counts().every((count, i) => count > from[i]!), {
          timeoutMs: SOON_MS,
          what: () => `both to be asked: ${proxy.log}`,
        });
      for (const jump of JUMPS) {
        const from = counts();
        await using load = Load.start(proxy.port, { clients: 4, restMs: 40 });
        await served(from);
        await Deno.writeTextFile(clock, jump);
        const lines = proxy.stdout.length;
        await until(() => proxy.stdout.length > lines + 20);
        const { time } = JSON.parse(proxy.stdout.at(-1)!);
        const days = (Date.parse(time) - Date.now()) / 86_400_000;
        const [, amount, unit] = /^([+-]\d+)(.)$/.exec(jump)!;
        const wanted = Number(amount) / (unit === "h" ? 24 : 1);
        assert.ok(Math.abs(days - wanted) < 0.01, `${time} after ${jump}`);
        // Probes continue, and so do their verdicts.
        a.health = 500;
        const [asked] = counts();
        await proxy.waitForLines(/is down/, JUMPS.indexOf(jump) + 1, SOON_MS);
        a.health = 200;
        await until(() => counts()[0]! > asked!, { timeoutMs: SOON_MS });
        // An ejection ends when its time is over.
        const ejected = proxy.stderr.filter((line) => /is ejected/.test(line));
        broken = true;
        await proxy.waitForLines(/is ejected/, ejected.length + 1, SOON_MS);
        broken = false;
        await served(counts());
        const { failures } = await load.stop();
        assert.deepEqual(failures, []);
      }
      // The rate limit fills up again.
      const flood = async () => {
        const all = await Promise.all(
          Array.from({ length: 400 }, () => fresh(proxy)),
        );
        return all.filter((status) => status === 429).length;
      };
      assert.ok(await flood() > 0);
      await Deno.writeTextFile(clock, "-30d");
      await servesAgain(proxy);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

forBoth(
  "a process that was stopped for three seconds takes no backend down",
  async (runtime) => {
    await using a = await rawBackend();
    await using b = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: `${a.url},${b.url}`, EJECT_AFTER: "1", ...PROBED },
    });
    await using load = Load.start(proxy.port, { clients: 8 });
    await until(() => load.answered > 50);
    proxy.signal("SIGSTOP");
    await delay(3_000);
    const { answered } = load;
    proxy.signal("SIGCONT");
    await until(() => load.answered > answered + 50, { timeoutMs: SOON_MS });
    const probes = a.probes.length;
    await until(() => a.probes.length > probes + 3, { timeoutMs: SOON_MS });
    assert.deepEqual((await load.stop()).failures, []);
    assert.doesNotMatch(proxy.log, /is down|is ejected/);
  },
);

/** Whether a process here can have its own mounts. */
function mayMount(): boolean {
  try {
    return Deno.uid() === 0 &&
      new Deno.Command("unshare", { args: ["-m", "true"] }).outputSync()
        .success;
  } catch {
    return false;
  }
}

const dns: CaseOptions = Deno.build.os === "linux"
  ? {
    ...skippedWithout("dnsmasq", "unshare"),
    ...mayMount() ? {} : { skip: "no mounts of one's own here" },
    timeoutMs: 60_000,
  }
  : { skip: "127.0.0.2 is no address here" };

forBoth(
  "a name server that does not answer delays no backend with an address",
  dns,
  async (runtime) => {
    await using plain = await rawBackend((conn) => conn.reply({ body: "1" }));
    await using named = await rawBackend(
      (conn) => conn.reply({ body: "2" }),
      { host: "127.0.0.2" },
    );
    // Port 53, which the system's resolver uses.
    const host = runtime === "deno" ? "127.0.0.77" : "127.0.0.78";
    await using server = await NameServer.at({ host, port: 53 }, "127.0.0.2");
    const folder = await Deno.makeTempDir({ prefix: "sluice-" });
    try {
      const file = `${folder}/resolv.conf`;
      await Deno.writeTextFile(
        file,
        `nameserver ${host}\noptions timeout:1 attempts:1\n`,
      );
      await using proxy = await startProxy(runtime, {
        through: [
          ...["unshare", "-m", "sh", "-c"],
          `mount --bind ${file} /etc/resolv.conf && exec "$@"`,
          "sh",
        ],
        env: {
          BACKENDS: `${plain.url},http://pool.test:${named.port}`,
          HEALTH_RISE: "1",
          // It is unreachable, for whatever reason, and skipped for this long.
          EJECT_TIME: "300ms",
          // Bun remembers an address for 30 s.
          BUN_CONFIG_DNS_TIME_TO_LIVE_SECONDS: "1",
          ...PROBED,
          ...ADMIN_ENV,
        },
      });
      await using load = Load.start(proxy.port, { clients: 4, restMs: 10 });
      const asked = () => named.requests.length;
      await until(() => asked() > 20, { what: () => proxy.log });
      await server.kill();
      // Existing connections work; new ones are impossible.
      for (const conn of named.conns) await conn.close();
      await proxy.waitForLine(/pool\.test:\d+ is (down|ejected)/, SOON_MS);
      const { answered } = load;
      await until(() => load.answered > answered + 100, { timeoutMs: SOON_MS });
      const before = asked();
      await server.restart();
      const from = performance.now();
      await until(() => asked() > before, {
        timeoutMs: SOON_MS,
        what: () => `the backend by name: ${proxy.log}`,
      });
      say(`${runtime}, DNS`, performance.now() - from);
      assert.deepEqual((await load.stop()).failures, []);
      assert.doesNotMatch(proxy.log, new RegExp(`${plain.port} is`));
      const page = await fetch(`${await adminUrl(proxy)}/backends`);
      assert.equal((await page.json()).backends.length, 2);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

forBoth(
  "an unreachable name server does not change its pool",
  { ...skippedWithout("dnsmasq"), timeoutMs: 60_000 },
  async (runtime) => {
    await using backend = await rawBackend(undefined, { host: "127.0.0.2" });
    await using server = await NameServer.start("127.0.0.2");
    await using proxy = await startProxy(runtime, {
      entry: "e2e/dns/program.ts",
      permissions: ["--allow-sys=networkInterfaces"],
      env: {
        DNS_SERVER: `127.0.0.1:${server.port}`,
        NAMED: `http://pool.test:${backend.port}`,
      },
    });
    await using load = Load.start(proxy.port, { clients: 4, restMs: 10 });
    await server.kill();
    await proxy.waitForLine(
      /pool\.test does not resolve .*known addresses are kept/,
      SOON_MS,
    );
    const { answered } = load;
    await until(() => load.answered > answered + 100, { timeoutMs: SOON_MS });
    await server.restart();
    await until(() => load.answered > answered + 200, { timeoutMs: SOON_MS });
    assert.deepEqual((await load.stop()).failures, []);
  },
);

/** Runs `knocking.ts`; returns its output. */
async function knocking(
  ...args: number[]
): Promise<{ opened: number; refused: number; seconds: number }> {
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-net=127.0.0.1",
      decodeURIComponent(
        new URL("starvation/knocking.ts", import.meta.url).pathname,
      ),
      ...args.map(String),
    ],
    stdin: "null",
    stderr: "inherit",
  }).output();
  assert.ok(success);
  return JSON.parse(new TextDecoder().decode(stdout));
}

forBoth(
  "5,000 connections a second without a request leave others served, and no trace",
  { timeoutMs: 60_000 },
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, ...PROBED },
    });
    await using client = await RawConnection.connect(proxy.port, {
      timeoutMs: 20_000,
    });
    assert.equal((await client.request(GET)).status, 200);
    const idle = proxy.fds();
    const [rss, answered] = [proxy.rss(), { count: 0 }];
    let over = false;
    const storm = knocking(proxy.port, 5_000, 2, 20).finally(() => over = true);
    while (!over) {
      const { status } = await client.request(GET);
      assert.equal(status, 200);
      answered.count++;
    }
    const { opened, refused, seconds } = await storm;
    const ms = await servesAgain(proxy);
    console.log(
      `    ${runtime}: ${opened} connections in ${seconds.toFixed(1)} s,` +
        ` ${refused} refused, ${answered.count} answers meanwhile,` +
        ` ${((proxy.rss() - rss) / 1024 ** 2).toFixed(0)} MB more`,
    );
    say(`${runtime}, connections`, ms);
    assert.ok(opened > 8_000, `${opened} connections`);
    await until(() => proxy.fds() <= idle + 3, {
      timeoutMs: SOON_MS,
      what: () => `${idle} descriptors, not ${proxy.fds()}`,
    });
    assert.doesNotMatch(proxy.log, /is down|is ejected/);
  },
);

forBoth(
  "a backend that hangs and clients that hang hold no descriptor when they have gone",
  async (runtime) => {
    await using backend = await rawBackend(hang);
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, HEALTH_PATH: "off" },
    });
    const clients: RawConnection[] = [];
    const idle = proxy.fds();
    for (let i = 0; i < 100; i++) {
      const client = await RawConnection.connect(proxy.port);
      await client.write(i % 2 === 0 ? GET : GET.slice(0, -2));
      clients.push(client);
    }
    await within(backend.waitForRequests(50), SOON_MS, "the requests");
    for (const client of clients) await client.close();
    await until(() => proxy.fds() <= idle + 3 && backend.open === 0, {
      timeoutMs: SOON_MS,
      what: () => `${idle} descriptors, not ${proxy.fds()}`,
    });
  },
);
