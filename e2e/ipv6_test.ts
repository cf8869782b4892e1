/**
 * IPv6 in front and behind, and names that are both.
 */

import assert from "node:assert/strict";
import { lookup } from "node:dns/promises";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { type CaseOptions, forBoth } from "./harness/suite.ts";
import { ask, grant } from "./websocket/raw.ts";

const hasIpv6 = (() => {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
})();
const IPV6: CaseOptions = hasIpv6 ? {} : { skip: "no IPv6 on this machine" };

forBoth(
  "IPv6: a listener on :: accepts both families",
  IPV6,
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, HOST: "::" },
    });
    assert.match(proxy.url, /^http:\/\/\[::\]:\d+$/);
    for (
      const [host, name, address] of [
        ["::1", `[::1]:${proxy.port}`, "::1"],
        // Not as `::ffff:127.0.0.1`, as the socket reports it.
        ["127.0.0.1", `127.0.0.1:${proxy.port}`, "127.0.0.1"],
      ] as const
    ) {
      const answer = await rawRequest(
        proxy.port,
        requestText("GET", "/", { host: name }),
        { host },
      );
      assert.equal(answer.text, "ok");
      const request = backend.requests.at(-1)!;
      assert.equal(request.header("host"), name);
      assert.equal(request.header("x-forwarded-for"), address);
    }
  },
);

forBoth(
  "IPv6: a backend on ::1, its probes and its WebSocket",
  IPV6,
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) => {
      if (request.header("upgrade") === undefined) {
        return await conn.reply({ body: "six" });
      }
      await (await grant(conn, request)).text("hello");
    }, { host: "::1" });
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `http://[::1]:${backend.port}`,
        HOST_HEADER: "backend",
      },
    });
    assert.ok(backend.probes.length > 0);
    const answer = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(answer.text, "six");
    await using asked = await ask(proxy.port);
    assert.equal(asked.status, 101);
    assert.equal(await asked.frames.shown(), "text hello");
    for (const request of backend.requests) {
      assert.equal(request.header("host"), `[::1]:${backend.port}`);
    }
  },
);

// Where `localhost` is both, in any order, each must work alone.
const local = (await lookup("localhost", { all: true }))
  .map(({ address }) => address);

for (const host of ["127.0.0.1", "::1"]) {
  forBoth(
    `IPv6: "localhost" with a backend on ${host} alone`,
    local.includes(host) ? {} : { skip: `localhost is ${local} here` },
    async (runtime) => {
      await using backend = await rawBackend(async (conn, request) => {
        if (request.header("upgrade") === undefined) return await conn.reply();
        await (await grant(conn, request)).text("hello");
      }, { host });
      await using proxy = await startProxy(runtime, {
        env: { BACKENDS: `http://localhost:${backend.port}` },
      });
      for (let i = 0; i < 3; i++) {
        const answer = await rawRequest(proxy.port, requestText("GET", "/"));
        assert.equal(answer.status, 200);
      }
      await using asked = await ask(proxy.port);
      assert.equal(asked.status, 101);
      assert.equal(await asked.frames.shown(), "text hello");
    },
  );
}
