/**
 * Backends by name, with a real name server whose response changes under load.
 */

import assert from "node:assert/strict";
import net from "node:net";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import { blackhole } from "./harness/blackhole.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { Load } from "./harness/load.ts";
import { NameServer } from "./harness/name_server.ts";
import { runProgram, sentBy, startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { Authority } from "./tls/certificates.ts";
import { bunPath, denoPath, ROOT } from "../testing/tools.ts";

/** Backends on one port of several addresses; each returns its own. */
async function pods(...addresses: string[]): Promise<RawBackend[]> {
  const found: RawBackend[] = [];
  for (const host of addresses) {
    const port = found[0]?.port;
    found.push(
      await rawBackend((conn) => conn.reply({ body: host }), {
        host,
        ...(port === undefined ? {} : { port }),
      }),
    );
  }
  return found;
}

// Linux answers on all of 127.0.0.0/8 without asking for it.
const options = Deno.build.os === "linux"
  ? { ...skippedWithout("dnsmasq"), timeoutMs: 60_000 }
  : { skip: "127.0.0.2 is no address here" };

const SERVER = {
  entry: "e2e/dns/program.ts",
  // `Resolver.setServers()` lists the interfaces in Deno.
  permissions: ["--allow-sys=networkInterfaces"],
};

forBoth(
  "an answer of the name server that changes under load loses no request",
  options,
  async (runtime) => {
    const all = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"];
    const backends = await pods(...all);
    await using dns = await NameServer.start("127.0.0.2", "127.0.0.3");
    await using proxy = await startProxy(runtime, {
      ...SERVER,
      env: {
        DNS_SERVER: `127.0.0.1:${dns.port}`,
        NAMED: `http://pool.test:${backends[0]!.port}`,
      },
    });
    assert.match(proxy.log, /\(2 backends\)/);
    await using load = Load.start(proxy.port, { clients: 8 });
    /** Waits until exactly these get requests. */
    const serving = (...hosts: string[]) =>
      until(async () => {
        const before = backends.map(({ requests }) => requests.length);
        const mark = load.answered + 60;
        await until(() => load.answered >= mark, { timeoutMs: 10_000 });
        return all.every((host, i) =>
          hosts.includes(host) === backends[i]!.requests.length > before[i]!
        );
      }, { timeoutMs: 15_000, what: () => `${hosts}; ${proxy.log}` });
    await serving("127.0.0.2", "127.0.0.3");
    // One more; one less; all others.
    await dns.answer("127.0.0.2", "127.0.0.3", "127.0.0.4");
    await serving("127.0.0.2", "127.0.0.3", "127.0.0.4");
    await dns.answer("127.0.0.3", "127.0.0.4");
    await serving("127.0.0.3", "127.0.0.4");
    await dns.answer("127.0.0.2", "127.0.0.5");
    await serving("127.0.0.2", "127.0.0.5");
    // An empty response does not change the pool.
    await dns.answer();
    await proxy.waitForLine(
      /pool\.test does not resolve .*known addresses are kept/,
    );
    await serving("127.0.0.2", "127.0.0.5");
    const { answered, failures } = await load.stop();
    assert.deepEqual(failures, []);
    console.log(`    ${answered} requests, 4 changes of the answer, 0 failed`);
    for (const backend of backends) await backend.stop();
  },
);

forBoth(
  "a backend by name gets the name as its Host with HOST_HEADER=backend",
  options,
  async (runtime) => {
    const [backend] = await pods("127.0.0.2");
    await using dns = await NameServer.start("127.0.0.2");
    const authority = `pool.test:${backend!.port}`;
    await using proxy = await startProxy(runtime, {
      ...SERVER,
      env: {
        DNS_SERVER: `127.0.0.1:${dns.port}`,
        NAMED: `http://${authority}`,
        HOST_HEADER: "backend",
      },
    });
    await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(backend!.requests[0]!.header("host"), authority);
    assert.equal(backend!.probes[0]!.header("host"), authority);
    await backend!.stop();
  },
);

forBoth("resolve resolves names like the system", async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `http://localhost:${backend.port} resolve` },
  });
  // 127.0.0.1 and, if the machine has it, ::1, where no server listens.
  await proxy.waitForLine(
    /localhost has a new address: http:\/\/127\.0\.0\.1:/,
  );
  for (let i = 0; i < 5; i++) {
    const { status } = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(status, 200);
  }
});

forBoth(
  "a backend by name shows the certificate of its name",
  // Deno's `fetch` cannot be told a server name; see `sendsServerName`.
  {
    ...options,
    ...skippedWithout("dnsmasq", "openssl"),
    ...(sentBy("deno") === "fetch" ? { runtimes: ["bun"] } : {}),
  },
  async (runtime) => {
    await using ca = await Authority.make();
    await using dns = await NameServer.start("127.0.0.2");
    for (const [names, status] of [["pool.test", 200], ["other.test", 503]]) {
      await using backend = await rawBackend(
        (conn) => conn.reply({ body: "ok" }),
        { host: "127.0.0.2", tls: await ca.sign(`DNS:${names}`) },
      );
      await using proxy = await startProxy(runtime, {
        ...SERVER,
        env: {
          DNS_SERVER: `127.0.0.1:${dns.port}`,
          NAMED: `https://pool.test:${backend.port}`,
          CA: ca.cert,
        },
      });
      const answer = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(answer.status, status, proxy.log);
    }
  },
);

// Only Deno's `fetch` cannot be told a server name; see `sendsServerName`.
forBoth("resolve of an https: backend is refused where it cannot be kept", {
  runtimes: ["deno"],
}, async (runtime) => {
  const { code, stderr } = await runProgram(runtime, {
    env: { BACKENDS: "https://app.example resolve", TRANSPORT: "fetch" },
  });
  assert.equal(code, 2);
  assert.match(stderr, /^BACKENDS: "https:\/\/app\.example" has resolve, but/);
});

/** Whether a process here can have its own `/etc/hosts`. */
function ownHosts(): boolean {
  try {
    return new Deno.Command("unshare", {
      args: ["-m", "true"],
      stderr: "null",
    }).outputSync().success;
  } catch {
    return false;
  }
}

forBoth(
  "an address of a name that drops SYNs is skipped after 250 ms",
  ownHosts()
    ? skippedWithout("python3")
    : { skip: "needs root and unshare, for an /etc/hosts of its own" },
  async (runtime) => {
    // RFC 8305: as soon as that, and not when the limit on connecting has run
    // out, in which the others would be waited for in vain.
    await using hole = await blackhole();
    const live = net.createServer((socket) => {
      // The slower connection is closed.
      socket.on("error", () => {});
      socket.end("live");
    });
    await new Promise<void>((listening) =>
      live.listen(hole.port, "127.0.0.2", listening)
    );
    const hosts = await Deno.makeTempFile();
    try {
      // The resolver gives 127.0.0.1 before 127.0.0.2.
      await Deno.writeTextFile(
        hosts,
        "127.0.0.1 two.test\n127.0.0.2 two.test\n127.0.0.2 one.test\n",
      );
      for (
        const [name, least] of [["one.test", 0], ["two.test", 200]] as const
      ) {
        const flags = runtime === "bun" ? ["run"] : ["run", "-A"];
        const { stdout, stderr } = await new Deno.Command("unshare", {
          args: [
            "-m",
            "sh",
            "-c",
            'mount --bind "$0" /etc/hosts && exec "$@"',
            hosts,
            runtime === "bun" ? await bunPath() : await denoPath(),
            ...flags,
            `${ROOT}/e2e/dns/connect.ts`,
          ],
          env: { NAME: name, PORT: String(hole.port) },
        }).output();
        const text = new TextDecoder().decode(stdout);
        assert.match(
          text,
          /"text":"live"/,
          new TextDecoder().decode(stderr),
        );
        const { took } = JSON.parse(text);
        // Far below the limit of 20 s, also on a busy machine.
        assert.ok(took >= least && took < 10_000, `${name}: ${took} ms`);
      }
    } finally {
      await Deno.remove(hosts);
      await new Promise((closed) => live.close(closed));
    }
  },
);
