/**
 * Servers and clients of other projects: in front of nginx and Python's
 * `http.server`, with curl as the client; and behind HAProxy.
 *
 * @module
 */

import assert from "node:assert/strict";
import { rawRequest, requestText } from "./harness/client.ts";
import { deadPort, rawBackend } from "./harness/backend.ts";
import { sentBy, startProxy } from "./harness/proxy.ts";
import {
  answers,
  curl,
  folder,
  nginx,
  Server,
  shell,
  takesUploads,
} from "./harness/servers.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

const MB = 1024 ** 2;
const GB = 1024 ** 3;

/** A file of `size` bytes that is mostly holes, and the same in no two places. */
async function largeFile(path: string, size: number): Promise<string> {
  using file = await Deno.open(path, { write: true, create: true });
  await file.truncate(size);
  for (let at = 0; at < size; at += MB) {
    await file.seek(at, Deno.SeekMode.Start);
    await file.write(new TextEncoder().encode(`megabyte ${at / MB}\n`));
  }
  return await shell(`sha256sum < ${path}`);
}

const options = {
  timeoutMs: 600_000,
  ...skippedWithout("nginx", "python3", "curl", "bash", "sha256sum"),
};

forBoth("nginx and Python serve a site through it, to curl", options, async (
  runtime,
) => {
  await using temp = await folder();
  const work = temp.path;
  const site = `${work}/site`;
  await Deno.mkdir(site);
  const files: Record<string, Uint8Array> = {
    "index.html": new TextEncoder().encode("<!doctype html><p>A site\n"),
    "style.css": new TextEncoder().encode(
      Array.from({ length: 4_000 }, (_, i) => `.c${i} { top: ${i}px }\n`)
        .join(""),
    ),
    "image.bin": crypto.getRandomValues(new Uint8Array(60_000)),
  };
  for (const [name, bytes] of Object.entries(files)) {
    await Deno.writeFile(`${site}/${name}`, bytes);
  }
  const sum = await largeFile(`${site}/large.bin`, GB);

  const ports = [await deadPort(), await deadPort()] as const;
  const block = `root ${site};`;
  let first = await nginx(work, [ports[0]], block);
  await using _second = new Server(
    "python3",
    ["-m", "http.server", String(ports[1]), "--bind", "127.0.0.1"],
    site,
  );
  await answers(ports[1]);
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: ports.map((port) => `http://127.0.0.1:${port}`).join(),
      HEALTH_PATH: "/",
      HEALTH_INTERVAL: "1s",
      HEALTH_TIMEOUT: "900ms",
      HEALTH_RISE: "1",
      EJECT_TIME: "500ms",
    },
  });
  try {
    // Each file from each server, byte for byte.
    for (const [name, bytes] of Object.entries(files)) {
      const servers = new Set<string>();
      for (let i = 0; i < 2; i++) {
        const { head, body } = await curl(work, `${proxy.url}/${name}`);
        assert.deepEqual(body, bytes, name);
        assert.match(head, /^content-type: \S/im);
        servers.add(/^server: (\w+)/im.exec(head)![1]!);
      }
      assert.deepEqual([...servers].sort(), ["SimpleHTTP", "nginx"]);
    }

    // Compressed by nginx alone, and only for a client that asks for it.
    let compressed = 0;
    for (const args of [["--compressed"], []]) {
      for (let i = 0; i < 2; i++) {
        const url = `${proxy.url}/style.css`;
        const { head, body } = await curl(work, url, ...args);
        assert.deepEqual(body, files["style.css"]);
        if (!/^content-encoding: gzip/im.test(head)) continue;
        assert.deepEqual(args, ["--compressed"]);
        compressed++;
      }
    }
    // Deno's `fetch` hands a body over as it came only when it is told so by a
    // line of `Accept-Encoding` that stands before the client's, and nginx reads
    // the first line alone. Others take both.
    assert.equal(
      compressed,
      runtime === "deno" && sentBy(runtime) === "fetch" ? 0 : 1,
    );

    // nginx answers ranges with 206; Python's server knows none.
    const statuses = new Set<string>();
    for (let i = 0; i < 4; i++) {
      const { head, body } = await curl(
        work,
        `${proxy.url}/image.bin`,
        "-r",
        "1000-1999",
      );
      const status = /^HTTP\/1\.1 (\d+)/.exec(head)![1]!;
      statuses.add(status);
      assert.deepEqual(
        body,
        status === "206"
          ? files["image.bin"]!.slice(1_000, 2_000)
          : files["image.bin"],
      );
    }
    assert.deepEqual([...statuses].sort(), ["200", "206"]);

    // 1 GB from each, while others ask for small files all the time, and while
    // nginx is told to finish, is gone for a while, and is started again.
    let running = true;
    const seen: string[] = [];
    const visitor = async () => {
      while (running) {
        const response = await rawRequest(
          proxy.port,
          requestText("GET", "/style.css"),
        );
        assert.equal(response.status, 200, proxy.log);
        assert.equal(response.complete, true);
        assert.equal(response.body.length, files["style.css"]!.length);
        seen.push(response.header("server") ?? "");
      }
    };
    const visitors = Promise.all([visitor(), visitor()]);
    const downloads = Promise.all(
      [1, 2].map(() => shell(`curl -fsS ${proxy.url}/large.bin | sha256sum`)),
    );
    const restart = (async () => {
      const url = `http://127.0.0.1:${ports[0]}`;
      await first.stop("SIGQUIT");
      await proxy.waitForLine(new RegExp(`${url} is down`), 120_000);
      const at = seen.length;
      first = await nginx(work, [ports[0]], block);
      await proxy.waitForLine(new RegExp(`${url} is up`), 120_000);
      await until(() => seen.slice(at).some((name) => /nginx/.test(name)), {
        timeoutMs: 120_000,
        what: "nginx to get requests again",
      });
    })().finally(() => running = false);
    const [sums] = await Promise.all([downloads, visitors, restart]);
    assert.deepEqual(sums, [sum, sum]);
  } finally {
    await first.stop("SIGTERM");
  }
});

forBoth("nginx stores 200 MB that curl uploads through it", {
  ...options,
  ...(takesUploads() ? {} : { skip: "nginx without its dav module" }),
}, async (runtime) => {
  await using temp = await folder();
  const work = temp.path;
  const sum = await largeFile(`${work}/upload.bin`, 200 * MB);
  const ports = [await deadPort(), await deadPort()];
  for (const port of ports) await Deno.mkdir(`${work}/${port}`);
  await using _servers = await nginx(
    work,
    ports,
    `root ${work}/$server_port; dav_methods PUT;`,
  );
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: ports.map((port) => `http://127.0.0.1:${port}`).join() },
  });
  // With its length declared, and in chunks.
  await shell(
    `curl -fsS -T ${work}/upload.bin ${proxy.url}/declared.bin`,
  );
  await shell(
    `cat ${work}/upload.bin | curl -fsS -T - ${proxy.url}/chunked.bin`,
  );
  for (const name of ["declared.bin", "chunked.bin"]) {
    const stored = await shell(`sha256sum < $(ls ${work}/*/${name})`);
    assert.equal(stored, sum, name);
  }
});

/** Starts HAProxy in front of a port, with its health check as it is by default. */
async function haproxy(
  work: string,
  port: number,
  to: number,
): Promise<Server> {
  await Deno.writeTextFile(
    `${work}/haproxy.cfg`,
    `defaults
       mode http
       timeout connect 5s
       timeout client 30s
       timeout server 30s
     frontend front
       bind 127.0.0.1:${port}
       default_backend sluice
     backend sluice
       option httpchk
       server one 127.0.0.1:${to} check inter 100ms rise 1 fall 1\n`,
  );
  const server = new Server("haproxy", ["-f", `${work}/haproxy.cfg`], work);
  await answers(port);
  return server;
}

// Its check is `OPTIONS / HTTP/1.0` without a Host, which was answered 400: it
// took Sluice down, and every client got 503.
forBoth(
  "HAProxy with its usual health check keeps it up and serves through it",
  {
    timeoutMs: 60_000,
    ...skippedWithout("haproxy", "curl", "bash"),
  },
  async (runtime) => {
    await using temp = await folder();
    await using backend = await rawBackend(async (conn, request) => {
      await request.body();
      await conn.reply({ body: `for ${request.method}` });
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, TRUSTED_PROXIES: "loopback" },
    });
    const port = await deadPort();
    await using _front = await haproxy(temp.path, port, proxy.port);
    const checks = () =>
      backend.requests.filter(({ method }) => method === "OPTIONS");
    await until(() => checks().length >= 5, {
      timeoutMs: 20_000,
      what: "health checks to come through",
    });
    for (const check of checks()) {
      assert.equal(check.target, "/");
      assert.equal(check.header("host"), backend.authority);
      assert.equal(check.header("x-forwarded-host"), undefined);
    }
    const { head, body } = await curl(
      temp.path,
      `http://127.0.0.1:${port}/a?b`,
      "-d",
      "hello",
    );
    assert.match(head, /^HTTP\/1\.1 200/);
    assert.equal(new TextDecoder().decode(body), "for POST");
  },
);
