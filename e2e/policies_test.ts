/**
 * The policies in the program: the source of their keys, what they count, and
 * the cookie of `sticky:NAME`. `balancer/balancer_test.ts` tests what they
 * pick.
 */

import assert from "node:assert/strict";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import {
  RawConnection,
  rawRequest,
  type RawResponse,
  requestText,
} from "./harness/client.ts";
import { type Runtime, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

/** Backends that return their number, and a proxy in front of them. */
async function pooled(
  runtime: Runtime,
  count: number,
  env: Record<string, string>,
) {
  const backends = await Promise.all(
    Array.from(
      { length: count },
      (_, i) => rawBackend((conn) => conn.reply({ body: String(i) })),
    ),
  );
  const proxy = await startProxy(runtime, {
    env: { BACKENDS: backends.map(({ url }) => url).join(","), ...env },
  });
  const get = (
    target = "/",
    headers: Record<string, string> = {},
  ): Promise<RawResponse> =>
    rawRequest(proxy.port, requestText("GET", target, { headers }));
  return {
    backends,
    proxy,
    get,
    async [Symbol.asyncDispose]() {
      await proxy.stop();
      await Promise.all(backends.map((backend) => backend.stop()));
    },
  };
}

for (
  const [policy, env, requestOf] of [
    [
      "ip_hash",
      { TRUSTED_PROXIES: "loopback" },
      (key: string) => ["/", { "X-Forwarded-For": `198.51.100.${key}` }],
    ],
    ["uri_hash", {}, (key: string) => [`/${key}?${Math.random()}`, {}]],
    ["header:X-Tenant", {}, (key: string) => ["/", { "x-tenant": key }]],
    ["cookie:user", {}, (key: string) => ["/", { Cookie: `a=b; user=${key}` }]],
  ] as [
    string,
    Record<string, string>,
    (key: string) => [string, Record<string, string>],
  ][]
) {
  forBoth(
    `${policy} gives one key one backend, and many keys all`,
    async (runtime) => {
      await using pool = await pooled(runtime, 3, { POLICY: policy, ...env });
      const seen = new Set<string>();
      for (let key = 0; key < 30; key++) {
        const { text } = await pool.get(...requestOf(String(key)));
        seen.add(text);
        const again = await pool.get(...requestOf(String(key)));
        assert.equal(again.text, text);
      }
      assert.equal(seen.size, 3);
    },
  );
}

forBoth(
  "header:NAME leaves requests without the field to round robin",
  async (runtime) => {
    await using pool = await pooled(runtime, 3, { POLICY: "header:X-Tenant" });
    const texts: string[] = [];
    for (let i = 0; i < 6; i++) texts.push((await pool.get()).text);
    assert.equal(new Set(texts.slice(0, 3)).size, 3);
    assert.deepEqual(texts.slice(3), texts.slice(0, 3));
  },
);

/** A backend that holds the response to `/hold` open after its first bytes. */
function holding(name: string, gate: Promise<void>): Promise<RawBackend> {
  return rawBackend(async (conn, { path }) => {
    if (path !== "/hold") return await conn.reply({ body: name });
    await conn.send(`HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n${name}...`);
    await Promise.race([gate, conn.closed]);
    if (conn.ending === undefined) await conn.send("done");
  });
}

for (const end of ["has ended", "was cancelled"]) {
  forBoth(
    `least_conn counts a request until its body ${end}`,
    async (runtime) => {
      const gate = Promise.withResolvers<void>();
      await using a = await holding("a", gate.promise);
      await using b = await holding("b", gate.promise);
      await using proxy = await startProxy(runtime, {
        env: { POLICY: "least_conn", BACKENDS: `${a.url},${b.url}` },
      });
      /** The responding backends of six requests, one after the other. */
      const who = async () => {
        const seen = new Set<string>();
        for (let i = 0; i < 6; i++) {
          seen.add(
            (await rawRequest(proxy.port, requestText("GET", "/"))).text,
          );
        }
        return [...seen].sort().join("");
      };
      // So often that bodies would be left to the runtime, were it not for this.
      for (let i = 0; i < 30; i++) assert.equal(await who(), "ab");
      await using client = await RawConnection.connect(proxy.port);
      await client.write(requestText("GET", "/hold"));
      await client.readHead();
      const piece = await client.readChunkOrBytes();
      const held = new TextDecoder().decode(piece!.data)[0]!;
      // The header has long come, but the body has not.
      assert.equal(await who(), held === "a" ? "b" : "a");
      if (end === "was cancelled") {
        await client.reset();
      } else {
        gate.resolve();
        while (await client.readChunkOrBytes() !== null);
      }
      await until(async () => await who() === "ab");
    },
  );
}

forBoth("ewma sends little to a backend that is slow", async (runtime) => {
  await using slow = await rawBackend(async (conn) => {
    await new Promise((resolve) => setTimeout(resolve, 150));
    await conn.reply({ body: "slow" });
  });
  await using fast = await rawBackend((conn) => conn.reply({ body: "fast" }));
  await using proxy = await startProxy(runtime, {
    env: { POLICY: "ewma", BACKENDS: `${slow.url},${fast.url}` },
  });
  for (let i = 0; i < 40; i++) {
    await rawRequest(proxy.port, requestText("GET", "/"));
  }
  // Round robin would give it twenty; it takes one to learn.
  assert.ok(slow.requests.length <= 5, `${slow.requests.length}`);
});

for (const policy of ["round_robin", "p2c", "uri_hash"]) {
  forBoth(`${policy} keeps to max_conns`, async (runtime) => {
    const gate = Promise.withResolvers<void>();
    await using a = await holding("a", gate.promise);
    await using b = await holding("b", gate.promise);
    await using proxy = await startProxy(runtime, {
      env: {
        POLICY: policy,
        BACKENDS: `${a.url} max_conns=1, ${b.url} max_conns=1`,
      },
    });
    await using one = await RawConnection.connect(proxy.port);
    await using two = await RawConnection.connect(proxy.port);
    for (const client of [one, two]) {
      await client.write(requestText("GET", "/hold"));
      await client.readHead();
    }
    assert.equal(a.requests.length, 1);
    assert.equal(b.requests.length, 1);
    const { status, header } = await rawRequest(
      proxy.port,
      requestText("GET", "/"),
    );
    assert.equal(status, 503);
    assert.equal(header("retry-after"), "1");
    gate.resolve();
    for (const client of [one, two]) {
      while (await client.readChunkOrBytes() !== null);
    }
  });
}

/** The `Set-Cookie` of a response, and what a client sends back of it. */
function cookieOf(answer: RawResponse): { set: string; back: string } {
  const set = answer.header("set-cookie") ?? "";
  return { set, back: set.split(";")[0]! };
}

forBoth(
  "sticky:NAME keeps a client with its backend by a cookie",
  async (runtime) => {
    await using pool = await pooled(runtime, 3, { POLICY: "sticky:srv" });
    const answer = await pool.get();
    const { set, back } = cookieOf(answer);
    assert.match(set, /^srv=[\w-]{22}; Path=\/; HttpOnly; SameSite=Lax$/);
    for (let i = 0; i < 8; i++) {
      const again = await pool.get(`/${i}`, { Cookie: `a=b; ${back}` });
      assert.equal(again.text, answer.text);
      assert.equal(again.header("set-cookie"), undefined);
    }
  },
);

forBoth(
  "sticky:NAME sets its cookie anew when the backend has gone",
  async (runtime) => {
    await using pool = await pooled(runtime, 2, { POLICY: "sticky:srv" });
    const answer = await pool.get();
    const { set, back } = cookieOf(answer);
    const gone = pool.backends[Number(answer.text)]!;
    await gone.kill();
    const moved = await pool.get("/", { Cookie: back });
    assert.equal(moved.status, 200);
    assert.notEqual(moved.text, answer.text);
    const anew = cookieOf(moved);
    assert.notEqual(anew.set, set);
    await gone.restart();
    // It stays there, even when the first one is back.
    for (let i = 0; i < 4; i++) {
      const again = await pool.get("/", { Cookie: anew.back });
      assert.equal(again.text, moved.text);
    }
  },
);

forBoth("sticky:NAME ignores a forged cookie", async (runtime) => {
  await using pool = await pooled(runtime, 2, { POLICY: "sticky:srv" });
  const { back } = cookieOf(await pool.get());
  const [a] = pool.backends as [RawBackend];
  for (
    const forged of ["1", a.url, a.authority, back.slice(4, -1), "%00", "a=b"]
  ) {
    const seen = new Set<string>();
    for (let i = 0; i < 4; i++) {
      const answer = await pool.get("/", { Cookie: `srv=${forged}` });
      seen.add(answer.text);
      assert.match(cookieOf(answer).set, /^srv=/);
    }
    assert.equal(seen.size, 2, forged);
  }
});

forBoth(
  "sticky:NAME marks its cookie Secure for https clients",
  async (runtime) => {
    await using trusting = await pooled(runtime, 1, {
      POLICY: "sticky:srv",
      TRUSTED_PROXIES: "loopback",
    });
    const headers = { "X-Forwarded-Proto": "https" };
    assert.match(cookieOf(await trusting.get("/", headers)).set, /; Secure$/);
    assert.doesNotMatch(cookieOf(await trusting.get()).set, /Secure/);
    await using wary = await pooled(runtime, 1, { POLICY: "sticky:srv" });
    assert.doesNotMatch(cookieOf(await wary.get("/", headers)).set, /Secure/);
  },
);

forBoth(
  "sticky:NAME does not change the backend's own cookies",
  async (runtime) => {
    await using backend = await rawBackend((conn) =>
      conn.reply({
        headers: [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2; Path=/x"]],
        body: "ok",
      })
    );
    await using proxy = await startProxy(runtime, {
      env: { POLICY: "sticky:srv", BACKENDS: backend.url },
    });
    const answer = await rawRequest(proxy.port, requestText("GET", "/"));
    const cookies = answer.headerAll("set-cookie");
    assert.deepEqual(cookies.slice(0, 2), ["a=1", "b=2; Path=/x"]);
    assert.match(cookies[2]!, /^srv=/);
  },
);
