import assert from "node:assert/strict";
import { deadPort, hang, rawBackend } from "./backend.ts";
import { RawConnection, rawRequest, requestText } from "./client.ts";
import { ROOT } from "../../testing/tools.ts";
import { runProgram, startProxy } from "./proxy.ts";
import { forBoth, forOnce, skippedWithout } from "./suite.ts";
import { delay, until, within } from "./wait.ts";
import { concat, toBytes, toLatin1 } from "./wire.ts";

forOnce("rawBackend() records a request byte by byte", async () => {
  await using backend = await rawBackend();
  const sent =
    "POST /a%2f?q=%zz HTTP/1.1\r\nhOsT: x\r\nX-A:1\r\nx-a:  \xe9 \r\n" +
    "Content-Length: 3\r\n\r\n\x00\xff\r";
  const response = await rawRequest(backend.port, sent);
  assert.equal(response.statusLine, "HTTP/1.1 200 OK");
  assert.equal(response.text, "ok");
  assert.equal(response.complete, true);
  assert.equal(response.closed, false);
  const request = backend.requests[0]!;
  assert.equal(request.method, "POST");
  assert.equal(request.target, "/a%2f?q=%zz");
  assert.equal(request.path, "/a%2f");
  assert.deepEqual(request.headers, [
    ["hOsT", "x"],
    ["X-A", "1"],
    ["x-a", "\xe9"],
    ["Content-Length", "3"],
  ]);
  assert.deepEqual(request.headerAll("X-a"), ["1", "\xe9"]);
  assert.equal(request.header("missing"), undefined);
  assert.equal(request.framing, "length");
  assert.equal(toLatin1(request.raw), sent);
  assert.equal(await request.text(), "\x00\xff\r");
});

forOnce("rawRequest() shows a response byte by byte", async () => {
  const sent = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
    "HTTP/1.1 299 Fine \xe9\r\nset-cookie: a\r\nSet-Cookie: b\r\n" +
    "Transfer-Encoding: chunked\r\n\r\n" +
    "3;ext=1\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n";
  await using backend = await rawBackend((conn) => conn.send(sent));
  const response = await rawRequest(backend.port, requestText("GET", "/"));
  assert.equal(response.status, 299);
  assert.equal(response.reason, "Fine \xe9");
  assert.equal(response.version, "1.1");
  assert.deepEqual(response.headers.slice(0, 2), [
    ["set-cookie", "a"],
    ["Set-Cookie", "b"],
  ]);
  assert.deepEqual(response.headerAll("set-cookie"), ["a", "b"]);
  assert.equal(response.framing, "chunked");
  assert.deepEqual(response.chunks, [3, 10]);
  assert.deepEqual(response.trailers, [["X-T", "1"]]);
  assert.equal(response.text, "abc0123456789");
  assert.equal(
    toLatin1(response.rawBody),
    "3;ext=1\r\nabc\r\n0A\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n",
  );
  assert.equal(
    toLatin1(response.raw),
    sent.slice(sent.indexOf("HTTP/1.1 299")),
  );
  assert.deepEqual(response.interim, [
    { status: 103, headers: [["Link", "</a>"]] },
  ]);
  assert.equal(response.complete, true);
});

/** What a server sends, and the problem that the client reports. */
const ENDINGS: [
  name: string,
  sent: string,
  ending: "open" | "fin" | "reset",
  expected: { framing: string; complete: boolean; body: string },
][] = [
  [
    "a length that is kept",
    "Content-Length: 2\r\n\r\nab",
    "open",
    { framing: "length", complete: true, body: "ab" },
  ],
  [
    "a length that is cut by FIN",
    "Content-Length: 3\r\n\r\nab",
    "fin",
    { framing: "length", complete: false, body: "ab" },
  ],
  [
    "a length that is cut by RST",
    "Content-Length: 3\r\n\r\nab",
    "reset",
    { framing: "length", complete: false, body: "ab" },
  ],
  [
    "chunks without the last one",
    "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    "fin",
    { framing: "chunked", complete: false, body: "ab" },
  ],
  [
    "a chunk that is cut inside",
    "Transfer-Encoding: chunked\r\n\r\n3\r\nab",
    "fin",
    { framing: "chunked", complete: false, body: "ab" },
  ],
  [
    "a last chunk without its empty line",
    "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    "fin",
    { framing: "chunked", complete: false, body: "ab" },
  ],
  [
    "a chunk that is longer than it says",
    "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "open",
    { framing: "chunked", complete: false, body: "" },
  ],
  [
    "a body up to FIN",
    "\r\nab",
    "fin",
    { framing: "close", complete: true, body: "ab" },
  ],
  [
    "a body up to RST",
    "\r\nab",
    "reset",
    { framing: "close", complete: false, body: "ab" },
  ],
  [
    "both framings at once",
    "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "open",
    { framing: "none", complete: false, body: "" },
  ],
  [
    "no response at all",
    "",
    "fin",
    { framing: "none", complete: false, body: "" },
  ],
];

for (const [name, sent, ending, expected] of ENDINGS) {
  forOnce(`rawRequest() judges ${name}`, async () => {
    await using backend = await rawBackend(async (conn) => {
      await conn.send(sent === "" ? "" : `HTTP/1.1 200 OK\r\n${sent}`);
      if (ending === "fin") await conn.end();
      if (ending === "reset") {
        await delay(30); // a RST overtakes what the peer has not read yet
        await conn.reset();
      }
    });
    const response = await rawRequest(backend.port, requestText("GET", "/"));
    assert.equal(response.framing, expected.framing);
    assert.equal(response.complete, expected.complete, response.problem);
    assert.equal(response.text, expected.body);
    if (ending !== "open") assert.equal(response.ending?.how, ending);
    if (sent === "") assert.equal(response.status, 0);
    if (!expected.complete) assert.notEqual(response.problem, undefined);
  });
}

forOnce("rawRequest() expects no body where there is none", async () => {
  await using backend = await rawBackend((conn, request) =>
    conn.reply({ status: Number(request.path.slice(1)), body: "abc" })
  );
  for (
    const [method, target, length] of [
      ["HEAD", "/200", "3"],
      ["GET", "/204", undefined],
      ["GET", "/304", "3"],
    ] as const
  ) {
    const response = await rawRequest(
      backend.port,
      requestText(method, target),
    );
    assert.equal(response.framing, "none");
    assert.equal(response.complete, true);
    assert.equal(response.header("content-length"), length);
  }
});

forOnce("conn.reset() sends a RST, conn.end() a FIN", async () => {
  await using backend = await rawBackend(async (conn, request) => {
    if (request.path === "/rst") await conn.reset();
    else await conn.end();
  });
  // Deno's own socket as the reference: it reports the two differently.
  for (const path of ["/rst", "/fin"]) {
    using conn = await Deno.connect({ port: backend.port });
    await conn.write(requestText("GET", path));
    const read = conn.read(new Uint8Array(1));
    if (path === "/rst") {
      await assert.rejects(read, Deno.errors.ConnectionReset);
    } else {
      assert.equal(await read, null);
    }
  }
});

forOnce("RawConnection sends FIN and RST to the backend", async () => {
  await using backend = await rawBackend(hang);
  for (const how of ["fin", "reset"] as const) {
    await using client = await RawConnection.connect(backend.port);
    await client.write(requestText("GET", "/"));
    const { conn } = await backend.waitForRequests(how === "fin" ? 1 : 2);
    assert.equal(conn.ending, undefined);
    await (how === "fin" ? client.end() : client.reset());
    assert.equal((await within(conn.closed, 2_000, "the end")).how, how);
  }
  await until(() => backend.connections.closed === 2);
  assert.equal(backend.connections.opened, 2);
});

forOnce("a connection carries several requests, also pipelined", async () => {
  await using backend = await rawBackend(async (conn, request) => {
    await conn.reply({ body: `${request.index} ${await request.text()}` });
  });
  await using client = await RawConnection.connect(backend.port);
  assert.equal((await client.request(requestText("GET", "/"))).text, "0 ");
  const post = requestText("POST", "/", {
    headers: { "Transfer-Encoding": "chunked" },
    body: "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
  });
  await client.write(concat([post, post]));
  assert.equal((await client.readResponse()).text, "1 abc");
  assert.equal((await client.readResponse()).text, "2 abc");
  await client.writeSlowly(requestText("PUT", "/", { body: "xyz" }), 7, 1);
  assert.equal((await client.readResponse()).text, "3 xyz");
  assert.equal(backend.connections.opened, 1);
  assert.deepEqual(backend.requests[1]?.chunks, [2, 1]);
  assert.equal(backend.requests[1]?.framing, "chunked");
});

forOnce("what the script leaves of a body is read past", async () => {
  await using backend = await rawBackend((conn) => conn.reply());
  await using client = await RawConnection.connect(backend.port);
  const body = "x".repeat(700_000);
  await client.request(requestText("POST", "/", { body }));
  await client.request(requestText("GET", "/"));
  assert.equal(backend.requests[0]?.received, 700_000);
  assert.equal(backend.requests.length, 2);
});

forOnce(
  "a body is read step by step, with the time of each piece",
  async () => {
    const go = Promise.withResolvers<void>();
    await using backend = await rawBackend(async (conn) => {
      await conn.reply({
        headers: { "Transfer-Encoding": "chunked" },
        framing: "none",
      });
      await conn.chunk("first");
      await go.promise;
      await conn.chunk("second");
      await conn.lastChunk();
    });
    await using client = await RawConnection.connect(backend.port);
    await client.write(requestText("GET", "/"));
    assert.equal((await client.readHead()).framing, "chunked");
    const first = await client.readChunkOrBytes();
    assert.equal(toLatin1(first!.data), "first");
    const before = performance.now();
    go.resolve();
    const second = await client.readChunkOrBytes();
    assert.equal(toLatin1(second!.data), "second");
    assert.ok(second!.at >= before && first!.at <= before);
    assert.equal(await client.readChunkOrBytes(), null);
  },
);

forOnce("an upload reaches the script while it is sent", async () => {
  const seen: string[] = [];
  await using backend = await rawBackend(async (conn, request) => {
    for (let piece; (piece = await request.next()) !== null;) {
      seen.push(toLatin1(piece.data));
    }
    await conn.reply();
  });
  await using client = await RawConnection.connect(backend.port);
  await client.write(
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab",
  );
  await until(() => seen.length === 1);
  await client.write("cd");
  await client.readResponse();
  assert.deepEqual(seen, ["ab", "cd"]);
});

forOnce("many bytes arrive as they were sent, both ways", async () => {
  const body = new Uint8Array(5_000_000);
  for (let i = 0; i < body.length; i++) body[i] = (i * 31 + (i >> 8)) & 0xff;
  await using backend = await rawBackend(async (conn, request) => {
    await conn.reply({ body: await request.body(), framing: "chunked" });
  });
  const response = await rawRequest(
    backend.port,
    requestText("POST", "/", { body }),
  );
  assert.equal(response.complete, true);
  assert.ok(response.body.every((byte, i) => byte === body[i]));
  assert.equal(response.body.length, body.length);
});

forOnce("a side that does not read holds the other one up", async () => {
  await using backend = await rawBackend(async (conn) => {
    conn.wire.pause();
    await conn.closed;
  }, { readAhead: 1 });
  await using client = await RawConnection.connect(backend.port);
  await client.write(
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99000000\r\n\r\n",
  );
  let sent = 0;
  const flood = (async () => {
    while (sent < 99_000_000) {
      await client.write(new Uint8Array(1_000_000));
      sent += 1_000_000;
    }
  })().catch(() => {});
  let before = -1;
  // Held up is: no megabyte more in 200 ms, though there are many to send.
  await until(() => {
    const still = before === sent;
    before = sent;
    return still && sent > 0;
  }, { everyMs: 200, what: "the flood to stop" });
  assert.ok(sent < 50_000_000, `${sent} bytes went through`);
  await client.reset();
  await flood;
});

forOnce("probes are answered by themselves and counted apart", async () => {
  await using backend = await rawBackend(undefined, { healthPath: "/up" });
  const probe = () => rawRequest(backend.port, requestText("GET", "/up?x"));
  assert.equal((await probe()).status, 200);
  backend.health = 503;
  assert.equal((await probe()).status, 503);
  backend.health = "reset";
  assert.equal((await probe()).ending?.how, "reset");
  backend.health = (conn) => conn.reply({ status: 418 });
  assert.equal((await probe()).status, 418);
  assert.equal(backend.probes.length, 4);
  assert.equal(backend.requests.length, 0);
  backend.health = "handler";
  assert.equal((await probe()).text, "ok");
  assert.equal(backend.requests.length, 1);
});

forOnce("a hanging backend reads requests and never responds", async () => {
  await using backend = await rawBackend();
  backend.hanging = true;
  await assert.rejects(
    rawRequest(backend.port, requestText("GET", "/"), { timeoutMs: 50 }),
    /nothing complete came in 50 ms/,
  );
  assert.equal(backend.requests.length, 1);
});

forOnce(
  "kill() refuses and cuts, restart() listens on the same port",
  async () => {
    await using backend = await rawBackend();
    const { port } = backend;
    await using client = await RawConnection.connect(port);
    await client.request(requestText("GET", "/"));
    await backend.kill();
    assert.equal((await client.waitForClose()).how, "fin");
    await assert.rejects(RawConnection.connect(port), /ECONNREFUSED/);
    await backend.restart();
    assert.equal(backend.port, port);
    assert.equal((await rawRequest(port, requestText("GET", "/"))).status, 200);
    await using other = await RawConnection.connect(port);
    await other.request(requestText("GET", "/"));
    await backend.kill({ reset: true });
    assert.equal((await other.waitForClose()).how, "reset");
  },
);

forOnce("deadPort() returns a port without a listener", async () => {
  await assert.rejects(RawConnection.connect(await deadPort()), /ECONNREFUSED/);
});

const FORBIDDEN: [what: string, request: string][] = [
  ["no Host", "GET / HTTP/1.1\r\n\r\n"],
  ["two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"],
  ["a space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["bare LF", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"],
  ["obs-fold", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"],
  ["a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"],
  [
    "two lengths",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
  ],
  [
    "a length and chunks",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  [
    "another coding",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
  ],
];

for (const [what, request] of FORBIDDEN) {
  forOnce(`rawBackend() does not let pass ${what}`, async () => {
    const backend = await rawBackend();
    const { ending } = await rawRequest(backend.port, request);
    assert.equal(ending?.how, "reset");
    assert.equal(backend.requests.length, 0);
    await assert.rejects(backend.stop(), AggregateError);
  });
}

forOnce("a script that throws fails the test", async () => {
  const backend = await rawBackend(() => {
    throw new RangeError("from the script");
  });
  await rawRequest(backend.port, requestText("GET", "/"));
  await assert.rejects(backend.stop(), /from the script/);
});

forOnce(
  "TLS and Unix sockets carry the same",
  skippedWithout("openssl"),
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      const { success } = await new Deno.Command("openssl", {
        args:
          (`req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes ` +
            `-days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost ` +
            `-keyout ${folder}/key.pem -out ${folder}/cert.pem`).split(" "),
        stderr: "null",
      }).output();
      assert.ok(success);
      const cert = await Deno.readTextFile(`${folder}/cert.pem`);
      const key = await Deno.readTextFile(`${folder}/key.pem`);
      const reset = (conn: { reset(): Promise<void> }) => conn.reset();
      {
        await using backend = await rawBackend(undefined, {
          tls: { cert, key },
        });
        assert.match(backend.url, /^https:/);
        const options = { tls: { ca: cert, servername: "localhost" } };
        const get = () =>
          rawRequest(backend.port, requestText("GET", "/"), options);
        assert.equal((await get()).text, "ok");
        backend.handler = reset;
        assert.equal((await get()).statusLine, "");
      }
      {
        await using backend = await rawBackend(undefined, {
          unix: `${folder}/s.sock`,
        });
        const get = () =>
          rawRequest(0, requestText("GET", "/"), { unix: `${folder}/s.sock` });
        assert.equal((await get()).text, "ok");
        await backend.restart();
        assert.equal((await get()).text, "ok");
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

forOnce("toBytes() refuses what is not latin1", () => {
  assert.deepEqual([...toBytes("\x00\x80\xff")], [0, 0x80, 0xff]);
  assert.throws(() => toBytes("€"), RangeError);
  assert.equal(toLatin1(new Uint8Array([0x80, 0x9f, 0xff])), "\x80\x9f\xff");
});

forOnce(
  "until() returns the result, or fails with what it waited for",
  async () => {
    let calls = 0;
    assert.equal(await until(() => ++calls > 2 && "yes"), "yes");
    await assert.rejects(
      until(() => false, { timeoutMs: 20, what: "a miracle" }),
      /Waited 20 ms in vain for a miracle/,
    );
  },
);

/** The smallest program that starts, answers and ends as the proxy does. */
const STAND_IN = `
import http from "node:http";
const server = http.createServer((request, response) => {
  console.log(request.method + " " + request.url);
  response.end(Object.keys(process.env).sort().join());
});
if (process.argv[2] === "--fail") {
  console.error("Cannot start: told so");
  process.exit(2);
}
server.listen(Number(process.env.PORT), process.env.HOST, () => {
  console.error("sluice 0.0.0 listening on http://127.0.0.1:" + server.address().port + " for 0 backends");
});
process.on("SIGTERM", () => {
  console.error("bye");
  process.exit(0);
});
`;

forBoth("startProxy() starts a program, and ends it", async (runtime) => {
  await using folder = await tempDir();
  const entry = `${folder.path}/stand_in.mjs`;
  await Deno.writeTextFile(entry, STAND_IN);
  const proxy = await startProxy(runtime, { entry, env: { EXTRA: "1" } });
  assert.match(proxy.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  const response = await rawRequest(proxy.port, requestText("GET", "/x"));
  assert.equal(response.status, 200);
  // Nothing of the test's environment except what was passed.
  const names = response.text.split(",");
  assert.deepEqual(
    names.filter((name) => !/^_|^DENO_|^BUN_/.test(name)),
    [
      ...["EXTRA", "HOME", "HOST", "PATH", "PORT"],
      ...(Deno.env.has("TRANSPORT") ? ["TRANSPORT"] : []),
    ],
  );
  await proxy.waitForLine(/^GET \/x$/);
  assert.ok(proxy.rss() > 1_000_000);
  assert.ok(proxy.fds() > 3);
  assert.ok(proxy.cpuMs() >= 0);
  proxy.signal("SIGTERM");
  assert.deepEqual(await proxy.waitForExit(), { code: 0, signal: null });
  assert.equal(proxy.stderr.at(-1), "bye");
  await assert.rejects(proxy.waitForLine(/never/), /ended with code 0/);
  await proxy.stop();
});

forBoth("startProxy() shows why a start failed", async (runtime) => {
  await using folder = await tempDir();
  const entry = `${folder.path}/stand_in.mjs`;
  await Deno.writeTextFile(entry, STAND_IN);
  await assert.rejects(
    startProxy(runtime, { entry, args: ["--fail"] }),
    /ended with code 2[^]*Cannot start: told so/,
  );
  const { code, stdout, stderr } = await runProgram(runtime, {
    entry,
    args: ["--fail"],
  });
  assert.equal(code, 2);
  assert.equal(stdout, "");
  assert.equal(stderr, "Cannot start: told so\n");
});

forOnce(
  "a test that hangs is ended, and what it left open is closed",
  async () => {
    const file = `${ROOT}/e2e/harness`;
    await using folder = await tempDir();
    await Deno.writeTextFile(
      `${folder.path}/hang_test.ts`,
      `import { forOnce } from "${file}/suite.ts";
     import { rawBackend, hang } from "${file}/backend.ts";
     import { rawRequest, requestText } from "${file}/client.ts";
     forOnce("hangs", { timeoutMs: 200 }, async () => {
       await using backend = await rawBackend(hang);
       await rawRequest(backend.port, requestText("GET", "/"));
     });
     forOnce("leaks", async () => { await rawBackend(); });
     forOnce("is fine", () => {});
     forOnce("cannot run", { skip: "no luck" }, () => {});`,
    );
    const { code, stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        "test",
        "-A",
        "--no-check",
        `--config=${ROOT}/deno.json`,
        folder.path,
      ],
      env: { NO_COLOR: "1" },
      stderr: "null",
    }).output();
    const output = new TextDecoder().decode(stdout);
    assert.equal(code, 1, output);
    assert.match(output, /Waited 200 ms in vain for the end of this test/);
    assert.match(output, /The test left open: backend/);
    assert.match(output, /1 passed \| 2 failed \| 1 ignored/);
    assert.match(output, /cannot run \(skipped: no luck\)/);
  },
);

async function tempDir(): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir();
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}
