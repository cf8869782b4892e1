/**
 * The admin port against misuse: pages of other sites, the proxy's own clients,
 * slow readers, and hostile input.
 */

import assert from "node:assert/strict";
import {
  ADMIN_ENV,
  adminUrl,
  EventReader,
  portOf,
  TOKEN,
} from "./harness/admin.ts";
import { deadPort, rawBackend } from "./harness/backend.ts";
import { ended, opened } from "./harness/cleanup.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { runProgram, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";

const AUTH = { authorization: `Bearer ${TOKEN}` };

// The metrics name all backends. They were served under any Host, so a page
// whose name resolves here (DNS rebinding) could read them in an operator's
// browser.
forBoth(
  "every admin page accepts only addresses, localhost and the names of ADMIN_HOST as Host",
  async (
    runtime,
  ) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backend.url,
        ADMIN_HOST: "127.0.0.1, Sluice.Internal",
        ...ADMIN_ENV,
      },
    });
    const port = portOf(await adminUrl(proxy));
    const pages = ["/", "/backends", "/metrics", "/livez", "/readyz"];
    const ask = async (target: string, host: string | null) =>
      (await rawRequest(
        port,
        requestText("GET", target, { host, headers: { Connection: "close" } }),
      )).status;
    for (const target of pages) {
      for (
        const host of [
          "127.0.0.1",
          "10.9.8.7:80",
          "[::1]",
          "[2001:db8::1]:9090",
          "LOCALHOST:1",
          "sluice.internal",
          `SLUICE.internal:${port}`,
        ]
      ) assert.equal(await ask(target, host), 200, `${target} ${host}`);
    }
    for (const target of [...pages, "/events", "/nothing", "/backends/x"]) {
      for (
        const host of [
          "evil.example",
          "prometheus.example:9090",
          "sluice.internal.evil.example",
          "x.localhost",
          "127.0.0.1.evil.example",
          "999.0.0.1",
          "127.1",
          "[evil]",
          "::1",
          "a b",
        ]
      ) {
        const status = await ask(target, host);
        assert.ok([400, 421].includes(status), `${target} ${host}: ${status}`);
      }
    }
  },
);

// Deno accepts such a request and makes up a name for it, which was ours.
forBoth("the admin port refuses a request without Host", async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...ADMIN_ENV },
  });
  const port = portOf(await adminUrl(proxy));
  for (
    const head of [
      "GET /metrics HTTP/1.1\r\n",
      "GET /metrics HTTP/1.1\r\nHost:\r\n",
      "GET http://127.0.0.1/metrics HTTP/1.1\r\n",
      "GET /backends HTTP/1.0\r\n",
      "GET /backends HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n",
      "POST /backends HTTP/1.0\r\n" +
      `Authorization: Bearer ${TOKEN}\r\nContent-Length: 0\r\n`,
    ]
  ) {
    const { status } = await rawRequest(port, `${head}\r\n`);
    assert.ok(status === 400 || status === 421, `${head}: ${status}`);
  }
});

// `BACKENDS=http://127.0.0.1:9090 ADMIN_PORT=9090` exposed the admin API to all
// clients, including changes.
forBoth("no way makes the admin port a backend", async (runtime) => {
  await using backend = await rawBackend();
  const admin = await deadPort();
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/backends`;
    await Deno.writeTextFile(file, backend.url);
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS_FILE: file, ...ADMIN_ENV, ADMIN_PORT: String(admin) },
      permissions: [`--allow-read=${folder}`],
    });
    for (const host of ["127.0.0.1", "localhost", "0.0.0.0"]) {
      for (const port of [admin, proxy.port]) {
        const own = `http://${host}:${port}`;
        const response = await fetch(`http://127.0.0.1:${admin}/backends`, {
          method: "POST",
          headers: AUTH,
          body: JSON.stringify({ url: own }),
        });
        assert.equal(response.status, 400, own);
        const { error } = await response.json();
        assert.match(error, /^"url" is this proxy('s admin port)?\.$/);
      }
    }
    // Both are known by now, though one was a free port.
    for (const port of [admin, proxy.port]) {
      await Deno.writeTextFile(
        file,
        `${backend.url}\nhttp://localhost:${port}`,
      );
      proxy.signal("SIGHUP");
      await proxy.waitForLine(
        new RegExp(`BACKENDS_FILE: "http://localhost:${port}" is this proxy`),
      );
    }
    const { backends } = await (await fetch(
      `http://127.0.0.1:${admin}/backends`,
    )).json();
    assert.equal(backends.length, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

forBoth(
  "the admin port is not a backend by a name that resolves to it",
  async (
    runtime,
  ) => {
    await using backend = await rawBackend();
    const entry = "e2e/admin/looked_up.ts";
    const env = { GOOD: backend.url, ADMIN: String(await deadPort()) };
    const { code, stderr } = await runProgram(runtime, {
      entry,
      env: { ...env, FIRST: "lookup" },
    });
    assert.equal(code, 3, stderr);
    assert.match(
      stderr,
      /Cannot serve: backend "http:.*" is this proxy's admin/,
    );
    await using proxy = await startProxy(runtime, { entry, env });
    assert.match(proxy.log, /app\.test has an address that is ignored: http:/);
    assert.match(proxy.log, /\(1 backends\)/);
  },
);

/** Passes bytes on: an address that the settings cannot know for the proxy's. */
function tunnelTo(port: number) {
  const server = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const conns = new Set<Deno.Conn>();
  const serving = (async () => {
    for await (const conn of server) {
      const there = await Deno.connect({ port, hostname: "127.0.0.1" });
      conns.add(conn).add(there);
      conn.readable.pipeTo(there.writable).catch(() => {});
      there.readable.pipeTo(conn.writable).catch(() => {});
    }
  })();
  const tunnel = {
    label: "tunnel",
    port: server.addr.port,
    async close() {
      ended(tunnel);
      server.close();
      for (const conn of conns) {
        try {
          conn.close();
        } catch {
          // It has exited.
        }
      }
      await serving;
    },
    abandon: () => tunnel.close(),
    [Symbol.asyncDispose]: () => tunnel.close(),
  };
  opened(tunnel);
  return tunnel;
}

forBoth("the admin port refuses requests that came through the proxy", async (
  runtime,
) => {
  const admin = await deadPort();
  await using tunnel = tunnelTo(admin);
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: `http://127.0.0.1:${tunnel.port}`,
      HEALTH_PATH: "off",
      ...ADMIN_ENV,
      ADMIN_PORT: String(admin),
    },
  });
  for (const target of ["/backends", "/metrics", "/"]) {
    const answer = await rawRequest(
      proxy.port,
      requestText("GET", target, { host: "1.2.3.4" }),
    );
    assert.equal(answer.status, 508);
    assert.doesNotMatch(answer.text, /sluice_|127\.0\.0\.1|<html/);
  }
  const changed = await rawRequest(
    proxy.port,
    requestText("DELETE", "/backends/x", {
      host: "1.2.3.4",
      headers: { Authorization: AUTH.authorization },
    }),
  );
  assert.equal(changed.status, 508);
});

// They held all 64 places: the dashboard was answered 503 for as long as they
// liked, and no token was needed for that.
forBoth("readers of /events that read nothing shut out no other", async (
  runtime,
) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...ADMIN_ENV },
  });
  const admin = await adminUrl(proxy);
  const port = portOf(admin);
  await using first = await EventReader.open(`${admin}/events`);
  await first.next("figures");
  const idle: RawConnection[] = [];
  try {
    for (let i = 0; i < 70; i++) {
      const connection = await RawConnection.connect(port);
      idle.push(connection);
      await connection.write(
        requestText("GET", "/events?history=on", { host: "127.0.0.1" }),
      );
      assert.equal((await connection.readHead()).status, 200);
      connection.wire.pause();
    }
    await using last = await EventReader.open(`${admin}/events`);
    assert.equal(last.response.status, 200);
    await last.next("figures");
    // The oldest was asked to reconnect, as a browser does by itself.
    await assert.rejects(first.next("never"), /has ended/);
    const { backends: [{ id }] } = await (await fetch(`${admin}/backends`))
      .json();
    const changed = await fetch(`${admin}/backends/${id}`, {
      method: "PATCH",
      headers: AUTH,
      body: '{"weight":5}',
    });
    assert.equal((await changed.json()).weight, 5);
    assert.equal((await last.next()).type, "changed");
  } finally {
    for (const connection of idle) await connection.close();
  }
});

forBoth("a reader of /events that reads nothing costs no other an event", {
  timeoutMs: 60_000,
}, async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...ADMIN_ENV },
  });
  const admin = await adminUrl(proxy);
  await using reader = await EventReader.open(`${admin}/events?figures=off`);
  await using silent = await RawConnection.connect(portOf(admin), {
    readAhead: 1,
  });
  await silent.write(requestText("GET", "/events", { host: "127.0.0.1" }));
  await silent.readHead();
  silent.wire.pause();
  const { backends: [{ id }] } = await (await fetch(`${admin}/backends`))
    .json();
  for (let weight = 1; weight <= 600; weight++) {
    const { body, status } = await fetch(`${admin}/backends/${id}`, {
      method: "PATCH",
      headers: AUTH,
      body: JSON.stringify({ weight }),
    });
    assert.equal(status, 200);
    await body?.cancel();
  }
  // A client that reads has missed none.
  for (let weight = 2; weight <= 600; weight++) {
    assert.equal((await reader.next()).data.backend.weight, weight);
  }
});

/** Hostile text of 64 KB each. */
const KB64 = 64 * 1024;

// Some are larger than the head that Bun accepts (16 KB): it responds by
// itself.
forBoth("hostile input of 64 KB is refused, and holds up nothing", {
  timeoutMs: 60_000,
}, async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...ADMIN_ENV },
  });
  const admin = await adminUrl(proxy);
  const port = portOf(admin);
  const spaces = " ".repeat(KB64);
  const sizes = runtime === "bun" ? [12 * 1024] : [12 * 1024, 60 * 1024];
  const cases: [what: string, bytes: Uint8Array][] = [];
  for (const size of sizes) {
    const long = (text: string) => text.repeat(Math.ceil(size / text.length));
    for (
      const field of [
        `Bearer ${long("x")}`,
        `Bearer${long(" ")}x`,
        `Bearer ${long("x ")}`,
        `Bearer ${long(" ")}x${" ".repeat(100)}y`,
        long("Bearer "),
      ]
    ) {
      cases.push([
        `Authorization: ${field.slice(0, 20)}`,
        requestText("POST", "/backends", {
          host: "127.0.0.1",
          headers: { Authorization: field },
          body: "{}",
        }),
      ]);
    }
    for (
      const target of [
        `/${long("a")}`,
        `/${long("/")}`,
        `/backends/${long("x")}`,
        `/backends${long("/x")}`,
        `/events-none?${long("a=b&")}`,
        `/nothing?${long("%")}`,
        `/nothing${long("?")}`,
      ]
    ) {
      cases.push([
        target.slice(0, 20),
        requestText("GET", target, { host: "127.0.0.1" }),
      ]);
    }
    cases.push([
      "Host",
      requestText("GET", "/backends", { host: `${long("1.")}:${long("1")}` }),
    ]);
    cases.push([
      "Host in brackets",
      requestText("GET", "/backends", { host: `[${long(":")}]` }),
    ]);
    cases.push([
      "Via",
      requestText("GET", "/nothing", {
        host: "127.0.0.1",
        headers: { Via: long("1.1 a, ") },
      }),
    ]);
  }
  const nested = "[".repeat(8000) + "]".repeat(8000);
  for (
    const body of [
      spaces,
      "[".repeat(16_000),
      `{"url":${nested}}`,
      `{"url":"http://${"a.".repeat(7_000)}"}`,
      `{"url":"http://[${":".repeat(7_000)}]"}`,
      `{"url":"http://a/${"%2f".repeat(5_000)}^"}`,
      `{"url":"http://a/${"../".repeat(5_000)}"}`,
      `{"url":"${"http://".repeat(2_000)}"}`,
      `{"url":"unix:${"/".repeat(15_000)}"}`,
      `{${'"a":1,'.repeat(2_000)}"b":1}`,
    ]
  ) {
    cases.push([
      body.slice(0, 30),
      requestText("POST", "/backends", {
        host: "127.0.0.1",
        headers: { Authorization: AUTH.authorization },
        body,
      }),
    ]);
  }
  for (const [what, bytes] of cases) {
    const began = performance.now();
    const { status } = await rawRequest(port, bytes, { closeWaitMs: 0 });
    const ms = performance.now() - began;
    assert.ok(status >= 400 && status < 500, `${what}: ${status}`);
    // Quadratic code would take seconds for this size.
    assert.ok(ms < 1_000, `${what}: ${ms} ms`);
  }
  const { backends } = await (await fetch(`${admin}/backends`)).json();
  assert.equal(backends.length, 1);
  assert.doesNotMatch(proxy.log, /cannot answer/);
});

forBoth("a body that does not arrive on the admin port is answered 408", {
  timeoutMs: 60_000,
}, async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...ADMIN_ENV },
  });
  const port = portOf(await adminUrl(proxy));
  const answers = [undefined, '{"url":'].map(async (sent) => {
    await using connection = await RawConnection.connect(port, {
      timeoutMs: 30_000,
    });
    await connection.write(requestText("POST", "/backends", {
      host: "127.0.0.1",
      headers: { Authorization: AUTH.authorization, "Content-Length": "100" },
    }));
    if (sent !== undefined) await connection.write(sent);
    const { status } = await connection.readResponse();
    // Deno keeps it open after an early response, even with
    // `Connection: close`.
    if (runtime === "bun") await connection.waitForClose();
    return status;
  });
  assert.deepEqual(await Promise.all(answers), [408, 408]);
});
