import assert from "node:assert/strict"; // built in to both runtimes
import { bunPath, denoPath, ROOT } from "../testing/tools.ts";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import {
  PROGRAM,
  type ProxyProcess,
  type Runtime,
  startProxy,
} from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

/** The lines of the access log, as soon as there are so many. */
async function linesOf(proxy: ProxyProcess, count: number): Promise<string[]> {
  await until(() => proxy.stdout.length >= count, {
    what: () => `${count} lines, not ${proxy.stdout.length}\n${proxy.log}`,
  });
  return proxy.stdout;
}

forBoth(
  "ACCESS_LOG=json writes one line a request with all that it promises",
  async (runtime) => {
    await using dead = await rawBackend();
    await using backend = await rawBackend((conn) =>
      conn.reply({ body: "hello" })
    );
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${dead.url},${backend.url}`,
        HEALTH_PATH: "off",
        REQUEST_ID: "on",
        ACCESS_LOG: "json",
      },
    });
    await dead.kill();
    for (const id of ["request-one", "request-two"]) {
      await rawRequest(
        proxy.port,
        requestText("GET", "/a?b=c", {
          headers: { "X-Request-Id": id },
        }),
      );
    }
    await rawRequest(proxy.port, requestText("HEAD", "/h"));
    const lines = (await linesOf(proxy, 3)).map((line) => JSON.parse(line));
    const one = lines.find(({ attempts }) => attempts.length === 2);
    assert.ok(one, "one request met the dead backend first");
    assert.match(one.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.equal(one.client, "127.0.0.1");
    assert.equal(one.method, "GET");
    assert.equal(one.target, "/a?b=c");
    assert.equal(one.status, 200);
    assert.equal(one.bytes, 5);
    assert.ok(one.durationMs > 0);
    assert.equal(one.backend, backend.url);
    assert.equal(one.attempts[0].backend, dead.url);
    assert.match(one.attempts[0].outcome, /refused/);
    assert.equal(one.attempts[1].backend, backend.url);
    assert.equal(one.attempts[1].outcome, "200");
    assert.deepEqual(
      lines.slice(0, 2).map(({ requestId }) => requestId),
      ["request-one", "request-two"],
    );
    assert.equal(lines[2].method, "HEAD");
    assert.equal(lines[2].bytes, 0);
  },
);

// Clients got 408 while the log and the metrics had 499, so that slow clients
// looked like clients that had left.
forBoth(
  "a client that gets 408 is logged and counted with 408",
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) => {
      await request.body();
      await conn.reply({});
    });
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backend.url,
        ACCESS_LOG: "json",
        CLIENT_TIMEOUT: "300ms",
        ...ADMIN_ENV,
      },
    });
    for (const length of [10, 100_000]) {
      await using client = await RawConnection.connect(proxy.port);
      await client.write(
        `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\nbegin`,
      );
      const answer = await client.readResponse({ method: "POST" });
      assert.equal(answer.status, 408, answer.text);
    }
    const lines = (await linesOf(proxy, 2)).map((line) => JSON.parse(line));
    assert.deepEqual(lines.map(({ status }) => status), [408, 408]);
    assert.ok(lines.every(({ bytes }) => bytes > 0));
    const metrics = await fetch(`${await adminUrl(proxy)}/metrics`);
    assert.match(
      await metrics.text(),
      /^sluice_requests_total\{code="408"\} 2$/m,
    );
  },
);

forBoth(
  "the access log has the bytes of a stream, and 499 if the client aborted it",
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) => {
      if (request.path === "/hang") return;
      await conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      await conn.chunk("x".repeat(1000));
      if (request.path === "/endless") return;
      await conn.chunk("y".repeat(234));
      await conn.lastChunk();
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, ACCESS_LOG: "json" },
    });
    await rawRequest(proxy.port, requestText("GET", "/whole"));
    {
      await using client = await RawConnection.connect(proxy.port);
      await client.write(requestText("GET", "/endless"));
      await client.readUntil("x".repeat(1000));
    }
    {
      await using client = await RawConnection.connect(proxy.port);
      await client.write(requestText("GET", "/hang"));
      await backend.waitForRequests(3);
    }
    const lines = (await linesOf(proxy, 3)).map((line) => JSON.parse(line));
    const by = (target: string) => lines.find((line) => line.target === target);
    assert.equal(by("/whole").status, 200);
    assert.equal(by("/whole").bytes, 1234);
    assert.equal(by("/endless").status, 499);
    assert.equal(by("/endless").bytes, 1000);
    assert.equal(by("/hang").status, 499);
    assert.equal(by("/hang").bytes, 0);
  },
);

// A broken download looked like any other.
forBoth("the access log says which body has broken off, and why", async (
  runtime,
) => {
  await using backend = await rawBackend(async (conn, { path }) => {
    const head = path === "/chunks"
      ? "Transfer-Encoding: chunked\r\n\r\n186a0\r\n"
      : "Content-Length: 1000000\r\n\r\n";
    await conn.send(`HTTP/1.1 200 OK\r\n${head}${"x".repeat(100_000)}`);
    if (path !== "/stall") await conn.close();
    else await conn.closed;
  });
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: backend.url,
      HEALTH_PATH: "off",
      IDLE_TIMEOUT: "100ms",
      ACCESS_LOG: "json",
    },
  });
  const outcomes: string[] = [];
  for (const path of ["/length", "/chunks", "/stall"]) {
    const answer = await rawRequest(proxy.port, requestText("GET", path));
    assert.equal(answer.complete, false, path);
    const lines = await linesOf(proxy, outcomes.length + 1);
    outcomes.push(JSON.parse(lines.at(-1)!).attempts[0].outcome);
  }
  assert.deepEqual(outcomes, [
    "200, then a truncated body",
    "200, then a truncated body",
    "200, then a stalled body",
  ]);
});

forBoth(
  "the access log has refused requests, and the proxy's own responses",
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, MAX_BODY: "10B", ACCESS_LOG: "json" },
    });
    const trace = await rawRequest(proxy.port, requestText("TRACE", "/t"));
    const large = await rawRequest(
      proxy.port,
      requestText("POST", "/large", { body: "x".repeat(11) }),
    );
    const options = await rawRequest(
      proxy.port,
      requestText("OPTIONS", "/o", { headers: { "Max-Forwards": "0" } }),
    );
    await backend.kill();
    const lost = await rawRequest(proxy.port, requestText("GET", "/lost"));
    const lines = (await linesOf(proxy, 4)).map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ method, status, bytes, client }) => ({
        method,
        status,
        bytes,
        client,
      })),
      [["TRACE", trace], ["POST", large], ["OPTIONS", options], ["GET", lost]]
        .map(([method, answer]) => {
          const { status, body } = answer as typeof trace;
          return { method, status, bytes: body.length, client: "127.0.0.1" };
        }),
    );
    assert.deepEqual(lines.map(({ status }) => status), [405, 413, 204, 502]);
  },
);

forBoth(
  "no log line can be forged, and none contains a secret",
  async (runtime) => {
    await using backend = await rawBackend();
    for (const format of ["json", "combined"]) {
      await using proxy = await startProxy(runtime, {
        env: {
          BACKENDS: backend.url,
          ACCESS_LOG: format,
          LOG_QUERY: "off",
          TRUSTED_PROXIES: "loopback",
        },
      });
      const hostile = [
        "\x1b[31mred\x1b[0m",
        '" 200 0 "-" "forged',
        '\\" \\',
        "%s%n%p",
        "\x85\xa0\x9b",
        "<script>alert(1)</script>",
        "x".repeat(10_000),
      ];
      let sent = 0;
      for (const text of hostile) {
        // Neither server accepts ESC in a field; both accept bytes from 0x80
        // on.
        const field = text.replaceAll("\x1b", "");
        const path = `/${encodeURIComponent(text).slice(0, 4000)}`;
        const answer = await rawRequest(
          proxy.port,
          requestText("GET", `${path}?key=SECRET`, {
            headers: [
              ["User-Agent", field],
              ["Referer", `http://r.test/?key=SECRET#${sent}`],
              // Short, since Bun's server accepts 16 KB of fields in total.
              ["X-Forwarded-For", field.slice(0, 500)],
              ["Authorization", "Bearer SECRET"],
              ["Cookie", "session=SECRET"],
            ],
          }),
        );
        assert.equal(answer.status, 200);
        sent++;
      }
      // And bytes in the target that no URL should have.
      await rawRequest(
        proxy.port,
        requestText("GET", '/"quote\\back<b>%s\x1b[2J\x85?key=SECRET'),
      );
      await rawRequest(
        proxy.port,
        requestText("GET", "/last", { headers: { "User-Agent": "last" } }),
      );
      await until(() => proxy.stdout.some((line) => line.includes("/last")));
      const lines = proxy.stdout;
      assert.ok(
        lines.length === sent + 2 || lines.length === sent + 1,
        lines.join("\n"),
      );
      for (const line of lines) {
        // deno-lint-ignore no-control-regex -- they are what is looked for
        assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f]|SECRET/);
        if (format === "json") {
          assert.equal(typeof JSON.parse(line).status, "number");
        } else {
          assert.match(
            line,
            /^\S+ - - \[\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d \+0000\] "(?:[^"\\]|\\.)*" \d{3} \d+ "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"$/,
          );
        }
      }
    }
  },
);

/** Starts the program with standard output going where a shell sends it. */
async function startWith(runtime: Runtime, output: string, url: string) {
  const program = runtime === "bun"
    ? `${await bunPath()} run ${PROGRAM}`
    : `${await denoPath()} run --no-prompt --allow-net --allow-env ${PROGRAM}`;
  const child = new Deno.Command("sh", {
    // `exec`, so that the child is the program and not the shell.
    args: ["-c", `exec ${program} ${output}`],
    cwd: ROOT,
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH")!,
      HOME: Deno.env.get("HOME") ?? "/",
      BACKENDS: url,
      PORT: "0",
      HOST: "127.0.0.1",
      ACCESS_LOG: "json",
      ...ADMIN_ENV,
    },
    stdin: "null",
    stdout: "piped", // and never read
    stderr: "piped",
  }).spawn();
  let log = "";
  const reading = (async () => {
    const text = child.stderr.pipeThrough(new TextDecoderStream());
    for await (const piece of text) log += piece;
  })();
  const find = async (pattern: RegExp) => {
    const match = await until(() => pattern.exec(log), {
      timeoutMs: 20_000,
      what: () => `${pattern} in:\n${log}`,
    });
    return match![1]!;
  };
  return {
    find,
    async stop() {
      child.kill("SIGTERM");
      const { code } = await child.status;
      await child.stdout.cancel();
      await reading;
      return code;
    },
  };
}

for (
  const [name, output] of [
    ["is not read", ""],
    ["is full", "> /dev/full"],
    ["is closed", ">&-"],
  ] as const
) {
  forBoth(`a standard output that ${name} stops nothing`, async (runtime) => {
    await using backend = await rawBackend((conn) =>
      conn.reply({ body: "hello" })
    );
    const program = await startWith(runtime, output, backend.url);
    try {
      const port = Number(await program.find(/listening on http:\S+?:(\d+)/));
      const admin = await program.find(/dashboard at (http:\S+)\//);
      await using client = await RawConnection.connect(port);
      // Lines of more than a pipe and the queue in front of it hold.
      const path = `/${"p".repeat(4000)}`;
      for (let i = 0; i < 500; i++) {
        const answer = await client.request(requestText("GET", path));
        assert.equal(answer.status, 200);
      }
      const lost = async () => {
        const text = await (await fetch(`${admin}/metrics`)).text();
        return Number(/^sluice_log_lines_lost_total (\d+)/m.exec(text)?.[1]);
      };
      if (name === "is closed") {
        // Both runtimes replace it by /dev/null, which accepts everything.
        assert.equal(await lost(), 0);
      } else {
        await until(async () => await lost() > 0, { what: "lost lines" });
        await program.find(/(access log lines are dropped)/);
      }
    } finally {
      // It still exits, which waits for the log.
      assert.equal(await program.stop(), 0);
    }
  });
}
