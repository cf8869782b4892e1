import assert from "node:assert/strict"; // built in to both runtimes
import { inPath } from "../testing/tools.ts";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

/** The samples of a page, by name and labels as written. */
async function scrape(admin: string): Promise<Map<string, number>> {
  const response = await fetch(`${admin}/metrics`);
  assert.equal(
    response.headers.get("content-type"),
    "text/plain; version=0.0.4; charset=utf-8",
  );
  const samples = new Map<string, number>();
  for (const line of (await response.text()).split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const at = line.lastIndexOf(" ");
    samples.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return samples;
}

forBoth("/metrics counts what has happened", async (runtime) => {
  await using dead = await rawBackend();
  await using backend = await rawBackend((conn, request) =>
    conn.reply({ status: Number(request.path.slice(1)) })
  );
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: `${dead.url},${backend.url} weight=3`,
      HEALTH_INTERVAL: "1h",
      ...ADMIN_ENV,
    },
  });
  const admin = await adminUrl(proxy);
  await dead.kill();
  for (const status of [200, 200, 404, 200, 503, 200]) {
    await rawRequest(proxy.port, requestText("GET", `/${status}`));
  }
  await rawRequest(proxy.port, requestText("TRACE", "/"));
  const page = await scrape(admin);
  const own = `backend="${backend.url}"`;
  const other = `backend="${dead.url}"`;
  const is = (name: string, value: number) =>
    assert.equal(page.get(name), value, name);
  is('sluice_requests_total{code="200"}', 4);
  is('sluice_requests_total{code="404"}', 1);
  is('sluice_requests_total{code="503"}', 1);
  is('sluice_requests_total{code="405"}', 1);
  is("sluice_request_duration_seconds_count", 7);
  is('sluice_request_duration_seconds_bucket{le="+Inf"}', 7);
  is(`sluice_backend_requests_total{${own},code="200"}`, 4);
  is(`sluice_backend_requests_total{${own},code="404"}`, 1);
  is(`sluice_backend_header_seconds_count{${own}}`, 6);
  is(`sluice_backend_outcomes_total{${own},outcome="bad"}`, 1);
  is(`sluice_backend_up{${own}}`, 1);
  is(`sluice_backend_weight{${own}}`, 3);
  is(`sluice_backend_in_flight{${own}}`, 0);
  is(`sluice_probes_total{${own},result="passed"}`, 1);
  const failed =
    `sluice_backend_failures_total{${other},error="connection_refused"}`;
  assert.ok(page.get(failed)! >= 1, "the dead backend was tried");
  assert.equal(page.get("sluice_retries_total"), page.get(failed));
  is("sluice_retry_budget_refusals_total", 0);
  is("sluice_panics_total", 0);
  is("sluice_websockets_open", 0);
  is("sluice_draining", 0);
  assert.ok(page.get(`sluice_probe_duration_seconds{${own}}`)! > 0);
  assert.ok(page.get("process_resident_memory_bytes")! > 1e6);
  assert.ok(page.get("process_cpu_seconds_total")! > 0);
  const age = Date.now() / 1000 - page.get("process_start_time_seconds")!;
  assert.ok(age > 0 && age < 300, `${age} seconds old`);
  const build = [...page.keys()].find((name) => name.includes("build_info"));
  assert.match(build!, new RegExp(`runtime="${runtime}"`));
});

forBoth(
  "/metrics shows requests under way, verdicts, ejections and panic",
  async (runtime) => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await using backend = await rawBackend(async (conn, request) => {
      if (request.path === "/slow") await gate;
      await conn.reply({ status: request.path === "/bad" ? 503 : 200 });
    });
    await using second = await rawBackend((conn) =>
      conn.reply({ status: 503 })
    );
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${backend.url},${second.url}`,
        HEALTH_INTERVAL: "500ms",
        HEALTH_TIMEOUT: "490ms",
        EJECT_AFTER: "1",
        EJECT_TIME: "1m",
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    // The second is ejected at its first answer.
    await until(async () => {
      await rawRequest(proxy.port, requestText("GET", "/"));
      return (await scrape(admin))
        .get(`sluice_backend_ejected{backend="${second.url}"}`) === 1;
    });
    const slow = rawRequest(proxy.port, requestText("GET", "/slow"));
    await until(async () =>
      (await scrape(admin))
        .get(`sluice_backend_in_flight{backend="${backend.url}"}`) === 1
    );
    const during = await scrape(admin);
    assert.equal(during.get("sluice_requests_in_flight"), 1);
    assert.equal(
      during.get(`sluice_backend_ejections_total{backend="${second.url}"}`),
      1,
    );
    open();
    assert.equal((await slow).status, 200);
    // When the first is down, only ejected backends are left.
    backend.health = 500;
    await until(async () =>
      (await scrape(admin))
        .get(`sluice_backend_up{backend="${backend.url}"}`) === 0
    );
    await rawRequest(proxy.port, requestText("GET", "/"));
    const after = await scrape(admin);
    assert.equal(after.get("sluice_panics_total"), 1);
    assert.equal(after.get("sluice_requests_in_flight"), 0);
  },
);

forBoth(
  "/metrics counts WebSockets, those that are open and all that were",
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) => {
      const key = request.header("sec-websocket-key")!;
      const digest = await crypto.subtle.digest(
        "SHA-1",
        new TextEncoder().encode(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`),
      );
      const accept = btoa(String.fromCharCode(...new Uint8Array(digest)));
      await conn.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" +
          `Connection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      await conn.takeOver().closed;
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, ...ADMIN_ENV },
    });
    const admin = await adminUrl(proxy);
    const has = async (name: string, value: number) =>
      (await scrape(admin)).get(name) === value;
    {
      await using client = await RawConnection.connect(proxy.port);
      await client.write(requestText("GET", "/ws", {
        headers: {
          Connection: "Upgrade",
          Upgrade: "websocket",
          "Sec-WebSocket-Version": "13",
          "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
      }));
      await client.readUntil("\r\n\r\n");
      await until(() => has("sluice_websockets_open", 1));
      assert.ok(await has("sluice_websockets_total", 1));
    }
    await until(() => has("sluice_websockets_open", 0));
    assert.ok(await has("sluice_websockets_total", 1));
    assert.ok(await has('sluice_requests_total{code="101"}', 1));
    assert.ok(await has("sluice_request_duration_seconds_count", 0));
  },
);

forBoth(
  "/metrics counts busy and idle connections where Sluice opens them itself",
  async (runtime) => {
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await using backend = await rawBackend(async (conn, request) => {
      if (request.path === "/slow") await gate;
      await conn.reply();
    });
    const env = { BACKENDS: backend.url, HEALTH_PATH: "off", ...ADMIN_ENV };
    await using byFetch = await startProxy(runtime, {
      env: { ...env, TRANSPORT: "fetch" },
    });
    await using proxy = await startProxy(runtime, {
      env: { ...env, TRANSPORT: "socket" },
    });
    const admin = await adminUrl(proxy);
    const has = async (busy: number, idle: number) => {
      const page = await scrape(admin);
      const of = (state: string) =>
        page.get(
          `sluice_backend_connections{backend="${backend.url}",state="${state}"}`,
        );
      return of("busy") === busy && of("idle") === idle;
    };
    assert.ok(await has(0, 0));
    const slow = rawRequest(proxy.port, requestText("GET", "/slow"));
    await until(() => has(1, 0));
    await rawRequest(proxy.port, requestText("GET", "/"));
    await until(() => has(1, 1));
    open();
    await slow;
    await until(() => has(0, 2));
    await backend.kill();
    await until(() => has(0, 0));
    // The runtime's are not known.
    const page = await scrape(await adminUrl(byFetch));
    assert.ok(![...page.keys()].some((name) => name.includes("_connections")));
  },
);

forBoth(
  "/metrics passes promtool's check",
  skippedWithout("promtool"),
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${backend.url},http://127.0.0.1:9999`,
        TRANSPORT: "socket",
        RATE_LIMIT: "1000/s",
        MAX_IN_FLIGHT: "auto",
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    for (let i = 0; i < 3; i++) {
      await rawRequest(proxy.port, requestText("GET", "/"));
    }
    const page = await (await fetch(`${admin}/metrics`)).bytes();
    const promtool = new Deno.Command(inPath("promtool")!, {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = promtool.stdin.getWriter();
    await writer.write(page);
    await writer.close();
    const { code, stdout, stderr } = await promtool.output();
    const decoder = new TextDecoder();
    const said = decoder.decode(stdout) + decoder.decode(stderr);
    // Its remarks on style end with another code than 0 too.
    assert.equal(said, "");
    assert.equal(code, 0);
  },
);
