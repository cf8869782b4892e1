/**
 * A canary in each place that is secret, and everything that the program says or
 * shows: none of them may be in it.
 */

import assert from "node:assert/strict";
import { adminUrl, EventReader } from "./harness/admin.ts";
import { deadPort, rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { type ProxyOptions, runProgram, startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { Authority, HERE } from "./tls/certificates.ts";
import { ask } from "./websocket/raw.ts";

/** Begins each canary, so that one search finds them all. */
const CANARY = "c4n4ry";
const TOKEN = `${CANARY}-of-the-admin-token`;

/** A key as it stands in a file, with what is secret of it. */
function secretOf(pem: string): string {
  return pem.split("\n")[2]!;
}

forBoth(
  "nothing secret is in the log, the pages, the events, the metrics or an answer",
  {
    ...skippedWithout("openssl"),
    timeoutMs: 60_000,
  },
  async (runtime) => {
    await using ca = await Authority.make();
    const [front, client] = [await ca.sign(HERE), await ca.sign("DNS:client")];
    const secrets = new RegExp(
      [CANARY, secretOf(front.key), secretOf(client.key)]
        .map((text) => text.replace(/[+/]/g, "\\$&")).join("|"),
    );
    await using good = await rawBackend((conn) =>
      conn.reply({
        headers: { "Set-Cookie": `s=${CANARY}-cookie` },
        body: "ok",
      }), {
      healthPath: "/up",
    });
    await using failing = await rawBackend((conn) => conn.reset(), {
      healthPath: "/up",
      health: 500,
    });
    await using secure = await rawBackend(undefined, {
      tls: await ca.sign("DNS:other.test"),
    });
    const options: ProxyOptions = {
      env: {
        BACKENDS: [
          good.url,
          failing.url,
          `https://localhost:${secure.port}`,
          `http://127.0.0.1:${await deadPort()}`,
        ].join(),
        HEALTH_PATH: `/up?key=${CANARY}-of-health`,
        HEALTH_INTERVAL: "500ms",
        HEALTH_TIMEOUT: "490ms",
        HEALTH_FALL: "1",
        EJECT_AFTER: "1",
        BACKEND_CA: `${ca.folder}/ca.pem`,
        BACKEND_CERT: await ca.write("client.pem", client.cert),
        BACKEND_KEY: await ca.write("client.key", client.key),
        TLS_CERT: await ca.write("front.pem", front.cert),
        TLS_KEY: await ca.write("front.key", front.key),
        ACCESS_LOG: "json",
        LOG_QUERY: "off",
        REQUEST_ID: "on",
        TRACE: "on",
        ADMIN_PORT: "0",
        ADMIN_TOKEN: TOKEN,
        HTTP_PROXY: `http://me:${CANARY}-of-http-proxy@127.0.0.1:9`,
        ALL_PROXY: `http://me:${CANARY}-of-all-proxy@127.0.0.1:9`,
        NO_PROXY: "127.0.0.1,localhost",
      },
      permissions: [`--allow-read=${ca.folder}`],
    };
    const checked = await runProgram(runtime, {
      ...options,
      args: ["--check"],
    });
    assert.equal(checked.code, 1);
    assert.match(checked.stdout, /^GET \/up\?\*\*\*$/m);
    assert.match(checked.stdout, /HTTP_PROXY, ALL_PROXY: is set/);
    assert.doesNotMatch(checked.stdout + checked.stderr, secrets);

    await using proxy = await startProxy(runtime, options);
    const admin = await adminUrl(proxy);
    await using events = await EventReader.open(
      `${admin}/events?history=on&token=${TOKEN}`,
    );
    const told: unknown[] = [(await events.next("history")).data];
    const seen: string[] = [];
    const send = async (bytes: Uint8Array) => {
      const answer = await rawRequest(proxy.port, bytes, { tls: {} });
      seen.push(answer.statusLine);
      // What the backend itself has said is not ours to hide.
      if (answer.status !== 200) {
        seen.push(new TextDecoder().decode(answer.raw));
      }
    };
    const headers = {
      Authorization: `Bearer ${CANARY}-of-a-client`,
      Cookie: `s=${CANARY}-of-a-client`,
      "Proxy-Authorization": `Basic ${CANARY}`,
      "Sluice-Debug": `${TOKEN}x`,
    };
    for (let i = 0; i < 8; i++) {
      await send(
        requestText(i % 2 ? "GET" : "POST", `/?key=${CANARY}-in-a-query`, {
          headers,
          ...i % 2 ? {} : { body: `${CANARY}-in-a-body` },
        }),
      );
    }
    await send(requestText("TRACE", `/?key=${CANARY}`, { headers }));
    await send(requestText("GET", `/?key=${CANARY}`, { host: "x:y" }));
    await send(requestText("GET", `http://me:${CANARY}@sluice.test/`));
    await using asked = await ask(proxy.port, `/?key=${CANARY}`, [], {
      tls: {},
    });
    assert.equal(asked.status, 200);

    // Verdicts, and changes with a right and with a wrong token.
    good.health = 500;
    // Another backend may be found down at the same time, for another reason.
    do told.push((await events.next("down")).data); while (
      !/status 500/.test(JSON.stringify(told.at(-1)))
    );
    const { backends } = await (await fetch(`${admin}/backends`)).json();
    for (
      const [token, path] of [
        [TOKEN, `/backends/${backends[0].id}`],
        [`${TOKEN}x`, `/backends/${backends[0].id}`],
        [TOKEN, `/backends/${TOKEN}`],
        [TOKEN, `/${TOKEN}?token=${TOKEN}`],
      ]
    ) {
      const response = await fetch(admin + path, {
        method: "PATCH",
        headers: { authorization: `Bearer ${token}` },
        body: '{"weight":7}',
      });
      seen.push(`${response.status} ${await response.text()}`);
    }
    told.push((await events.next("changed")).data);
    for (
      const path of ["/", "/backends", "/metrics", `/readyz?token=${TOKEN}`]
    ) {
      seen.push(await (await fetch(admin + path)).text());
    }
    proxy.signal("SIGHUP");
    await proxy.waitForLine(/TLS_CERT read again, unchanged/);
    proxy.signal("SIGTERM");
    await proxy.waitForExit();

    // It has said much, and of all that was done.
    const said = [...proxy.stderr, ...proxy.stdout].join("\n");
    assert.match(said, /is down \(probe of \/up: status 500\)/);
    assert.match(said, /certificate is for another name/);
    assert.match(said, /"status":200/);
    assert.match(said, /has weight 7 by the admin API/);
    assert.match(seen.join("\n"), /sluice_requests_total/);
    const reasons = JSON.stringify(told);
    assert.match(reasons, /probe of \/up: status 500/);
    for (const text of [said, ...seen, reasons]) {
      assert.doesNotMatch(text, secrets);
    }
  },
);

/** Where clients put what is theirs alone; the first line is the request's. */
function asked(
  method: string,
  target: string,
  more: Record<string, string> = {},
): Uint8Array {
  const { body, host, ...fields } = more;
  return requestText(method, target, {
    ...host === undefined ? {} : { host },
    headers: {
      Authorization: `Basic ${CANARY}`,
      Cookie: `session=${CANARY}; other=${CANARY}`,
      "Proxy-Authorization": `Basic ${CANARY}`,
      "X-Api-Key": CANARY,
      Referer: `https://app.test/reset?token=${CANARY}`,
      ...fields,
    },
    ...body === undefined ? {} : { body },
  });
}

forBoth(
  "each answer of the proxy's own, its log line and its metrics are without secrets",
  { timeoutMs: 60_000 },
  async (runtime) => {
    const secrets = new RegExp(CANARY);
    const garbage = [
      `HTTP/1.1 200 OK\r\nSet-Cookie: s=${CANARY}\r\n ${CANARY}\r\n\r\n`,
      `HTTP/1.1 2x0 ${CANARY}\r\n\r\n`,
      `${CANARY} is no HTTP at all, and long enough to be looked at\r\n\r\n`,
      `HTTP/1.1 200 OK\r\nContent-Length: ${CANARY}\r\n\r\n`,
    ];
    await using backend = await rawBackend(async (conn, request) => {
      const { path } = request;
      if (path === "/hang") await conn.closed;
      else if (path === "/reset") await conn.reset();
      else if (path.startsWith("/garbage/")) {
        await conn.send(garbage[Number(path.slice(9))]!);
        await conn.close();
      } else {
        await request.body();
        await conn.reply({ headers: { "Set-Cookie": `s=${CANARY}` } });
      }
    }, { allowProblems: true });
    const folder = await Deno.makeTempDir({ prefix: "sluice-" });
    try {
      const file = `${folder}/backends`;
      await Deno.writeTextFile(file, `${backend.url} name=web\n`);
      const options: ProxyOptions = {
        env: {
          BACKENDS_FILE: file,
          ACCESS_LOG: "combined",
          LOG_QUERY: "off",
          POLICY: "sticky:srv",
          EJECT_AFTER: "off",
          RETRIES: "0",
          MAX_BODY: "1KB",
          TIMEOUT: "300ms",
          RATE_LIMIT: "50/m",
          ADMIN_PORT: "0",
          ADMIN_TOKEN: TOKEN,
        },
        permissions: [`--allow-read=${folder}`],
      };
      await using proxy = await startProxy(runtime, options);
      const admin = await adminUrl(proxy);
      const seen: string[] = [];
      const statuses = new Set<number>();
      const send = async (bytes: Uint8Array) => {
        const answer = await rawRequest(proxy.port, bytes);
        statuses.add(answer.status);
        if (answer.status === 200) return;
        seen.push(new TextDecoder().decode(answer.raw));
      };
      const query = `?key=${CANARY}`;
      await send(asked("GET", `/good${query}`));
      await send(asked("GET", `/x${query}`, { host: "x:y" }));
      await send(asked("TRACE", `/${query}`));
      await send(asked("GET", `/hang${query}`));
      await send(asked("GET", `/reset${query}`));
      await send(asked("POST", `/${query}`, { body: CANARY.repeat(200) }));
      for (const i of garbage.keys()) {
        await send(asked("GET", `/garbage/${i}${query}`));
      }
      await using socket = await ask(proxy.port, `/good${query}`, [
        ["Sec-WebSocket-Protocol", `bearer, ${CANARY}`],
        ["Cookie", CANARY],
      ]);
      assert.equal(socket.status, 200);
      for (let i = 0; i < 60; i++) await send(asked("GET", `/good${query}`));

      const call = async (method: string, path: string, body: string) => {
        const response = await fetch(admin + path, {
          method,
          headers: { authorization: `Bearer ${TOKEN}` },
          body,
        });
        seen.push(`${response.status} ${await response.text()}`);
      };
      const refused = [
        `{"url":"http://me:${CANARY}@127.0.0.1:3000"}`,
        `{"url":"http://127.0.0.1:3000/?key=${CANARY}"}`,
        `{"url":"http://127.0.0.1:3000","name":"${CANARY} ${CANARY}"}`,
        `{"url":"http://127.0.0.1:3000","token":"${CANARY}"}`,
        `{"token":"${CANARY}`,
      ];
      for (const body of refused) await call("POST", "/backends", body);
      // What is refused of a file is as secret as what is taken.
      await Deno.writeTextFile(file, `http://me:${CANARY}@127.0.0.1:3000\n`);
      proxy.signal("SIGHUP");
      await proxy.waitForLine(/BACKENDS_FILE.*credentials/);
      for (const path of ["/", "/backends", "/metrics", "/readyz"]) {
        seen.push(await (await fetch(admin + path)).text());
      }
      const events = await EventReader.open(
        `${admin}/events?history=on&token=${TOKEN}`,
      );
      seen.push(JSON.stringify((await events.next("history")).data));
      await events[Symbol.asyncDispose]();

      // And the end of one that cannot begin.
      const crashed = await runProgram(runtime, {
        ...options,
        env: {
          ...options.env,
          BACKENDS_FILE: undefined,
          BACKENDS: backend.url,
          HEALTH_PATH: `/up?key=${CANARY}`,
          PORT: String(proxy.port),
        },
      });
      assert.equal(crashed.code, 1);
      assert.match(crashed.stderr, /cannot listen/);
      proxy.signal("SIGTERM");
      await proxy.waitForExit();

      const said = [...proxy.stderr, ...proxy.stdout].join("\n");
      assert.deepEqual(
        [200, 400, 405, 413, 429, 502, 504].filter((status) =>
          !statuses.has(status)
        ),
        [],
        said,
      );
      assert.match(said, /"GET \/good HTTP\/1\.1" 200/);
      assert.match(seen.join("\n"), /Proxy-Status: sluice/i);
      for (
        const text of [
          said,
          ...seen,
          crashed.stdout + crashed.stderr,
        ]
      ) assert.doesNotMatch(text, secrets);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
