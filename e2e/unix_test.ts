/**
 * Backends on Unix domain sockets: ours, and servers that others wrote.
 */

import assert from "node:assert/strict";
import { inPath } from "../testing/tools.ts";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { sentBy, startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { ask, grant } from "./websocket/raw.ts";

/** A folder for sockets, removed at the end: their paths must be short. */
async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "sluice-" });
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

/** The permissions that Deno requires for a Unix domain socket. */
const permissionsFor = (path: string) => [
  `--allow-read=${path}`,
  `--allow-write=${path}`,
];

forBoth("unix: requests, probes and WebSocket", async (runtime) => {
  await using dir = await folder();
  const unix = `${dir.path}/a.sock`;
  await using backend = await rawBackend(async (conn, request) => {
    if (request.header("upgrade") !== undefined) {
      return await (await grant(conn, request)).text("hello");
    }
    await conn.reply({ body: `${request.method} ${await request.text()}` });
  }, {
    unix,
    // Deno's `fetch` uses the absolute form there, which servers must accept.
    healthPath: runtime === "deno" && sentBy(runtime) === "fetch"
      ? "http://localhost/health"
      : "/health",
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `unix:${unix}` },
    permissions: permissionsFor(dir.path),
  });
  assert.ok(backend.probes.length > 0);
  const get = await rawRequest(proxy.port, requestText("GET", "/a//b?c"));
  assert.equal(get.text, "GET ");
  const post = await rawRequest(
    proxy.port,
    requestText("POST", "/", { body: "hello" }),
  );
  assert.equal(post.text, "POST hello");
  await using asked = await ask(proxy.port, "/ws");
  assert.equal(asked.status, 101);
  assert.equal(await asked.frames.shown(), "text hello");
  for (const request of backend.requests) {
    assert.equal(request.header("host"), "sluice.test");
  }
});

forBoth(
  "unix: a socket that is gone is 502, and tried elsewhere",
  async (runtime) => {
    await using dir = await folder();
    await using backend = await rawBackend(undefined, {
      unix: `${dir.path}/b.sock`,
    });
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `unix:${dir.path}/gone.sock, unix:${dir.path}/b.sock`,
        HEALTH_PATH: "off",
      },
      permissions: permissionsFor(dir.path),
    });
    for (let i = 0; i < 4; i++) {
      const answer = await rawRequest(
        proxy.port,
        requestText("POST", "/", { body: "x" }),
      );
      assert.equal(answer.text, "ok");
    }
    assert.equal(backend.requests.length, 4);
  },
);

forBoth(
  "unix: with any Host, there are only as many connections as concurrent requests",
  async (runtime) => {
    // Deno's `fetch` keeps a connection for each Host, and every twentieth that
    // it opens hangs until the time limit: any client could force new ones.
    await using dir = await folder();
    const backend = await rawBackend(undefined, { unix: `${dir.path}/a.sock` });
    await using _backend = backend;
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backend.url,
        HEALTH_PATH: "off",
        TRANSPORT: "socket",
        // A hung one would be 504 within the test's time.
        TIMEOUT: "10s",
      },
      permissions: permissionsFor(dir.path),
    });
    for (let i = 0; i < 60; i++) {
      const { status } = await rawRequest(
        proxy.port,
        requestText(i % 2 === 0 ? "GET" : "POST", "/", { host: `h${i}.test` }),
      );
      assert.equal(status, 200);
    }
    assert.ok(backend.connections.opened <= 3, "60 requests, one at a time");
    assert.equal(backend.requests[7]!.header("host"), "h7.test");
    assert.equal(backend.requests[7]!.target, "/");
  },
);

/** Starts a server in `dir` and waits until it has made its socket. */
async function running(
  command: string,
  args: string[],
  socket: string,
): Promise<AsyncDisposable> {
  const child = new Deno.Command(inPath(command)!, {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  await until(() => Deno.stat(socket).then(() => true, () => false), {
    timeoutMs: 20_000,
    what: `${command}'s socket`,
  });
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

// Deno's `fetch` uses the absolute form over a Unix domain socket, which
// servers must accept (RFC 9112 §3.2.2) and proxies rarely send.
forBoth("unix: nginx behind", skippedWithout("nginx"), async (runtime) => {
  await using dir = await folder();
  const socket = `${dir.path}/n.sock`;
  await Deno.writeTextFile(
    `${dir.path}/nginx.conf`,
    `daemon off; pid ${dir.path}/pid; error_log ${dir.path}/log;
     events {}
     http {
       access_log off;
       server {
         listen unix:${socket};
         location / { return 200 "$request_method $uri $host\\n"; }
       }
     }`,
  );
  await using _nginx = await running("nginx", [
    "-c",
    `${dir.path}/nginx.conf`,
    "-p",
    dir.path,
  ], socket);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `unix:${socket}` },
    permissions: permissionsFor(dir.path),
  });
  const answer = await rawRequest(proxy.port, requestText("GET", "/a/b?c"));
  assert.equal(answer.text, "GET /a/b sluice.test\n");
});

forBoth(
  "unix: Node and Python behind",
  skippedWithout("node", "python3"),
  async (runtime) => {
    await using dir = await folder();
    const [node, python] = [`${dir.path}/js.sock`, `${dir.path}/py.sock`];
    await Deno.writeTextFile(
      `${dir.path}/s.mjs`,
      `import { createServer } from "node:http";
     createServer((q, r) => r.end("node " + new URL(q.url, "http://x").pathname))
       .listen(${JSON.stringify(node)});`,
    );
    await Deno.writeTextFile(
      `${dir.path}/s.py`,
      `import socketserver, http.server, urllib.parse
class H(http.server.BaseHTTPRequestHandler):
    def address_string(self): return "-"
    def do_GET(self):
        body = ("python " + urllib.parse.urlparse(self.path).path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
socketserver.ThreadingUnixStreamServer(${
        JSON.stringify(python)
      }, H).serve_forever()
`,
    );
    await using _node = await running("node", [`${dir.path}/s.mjs`], node);
    await using _python = await running(
      "python3",
      [`${dir.path}/s.py`],
      python,
    );
    for (const [socket, text] of [[node, "node /a"], [python, "python /a"]]) {
      await using proxy = await startProxy(runtime, {
        env: { BACKENDS: `unix:${socket}` },
        permissions: permissionsFor(dir.path),
      });
      const answer = await rawRequest(proxy.port, requestText("GET", "/a"));
      assert.equal(answer.text, text);
    }
  },
);
