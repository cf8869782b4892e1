import assert from "node:assert/strict"; // built in to both runtimes
import { Pool } from "../balancer.ts";
import { FakeClock } from "../testing/clock.ts";
import { Admin } from "./admin.ts";
import { ProbeHistory } from "./probes.ts";

const TOKEN = "a-token-of-some-length";

/** Sends requests to an admin API that has one backend. */
function admin(token: string | undefined) {
  const pool = new Pool(["http://a.test"]);
  const clock = new FakeClock();
  const probes = new ProbeHistory(pool);
  const own = new Admin({
    pool,
    clock,
    probes,
    token,
    report: () => undefined,
    // No figures.
    snapshot: () => new Promise(() => {}),
    checkUrl: (value) => ({ value }),
    checkName: (value) => ({ value }),
    draining: () => false,
    process: () => assert.fail("no response of these tests has it"),
    version: "1",
    policy: "random",
    transport: "fetch",
    answersTo: (host) => host === "admin.test",
    pseudonym: "sluice-1",
    log: () => {},
  });
  const status = async (
    method: string,
    path: string,
    headers: Record<string, string> = {},
  ) => {
    const sent: Record<string, string> = {
      POST: '{"url":"http://b.test"}',
      PATCH: '{"weight":7}',
    };
    const response = await own.handle(
      new Request(`http://admin.test${path}`, {
        method,
        body: sent[method] ?? null,
        headers: { host: "admin.test", ...headers },
      }),
    );
    await response.body?.cancel();
    return response.status;
  };
  const stop = () => {
    own.stop();
    probes.stop();
  };
  return { pool, status, stop };
}

Deno.test("Admin changes nothing without its token, and all with it", async () => {
  const right = { authorization: `Bearer ${TOKEN}` };
  for (
    const [token, headers, refusal] of [
      [undefined, right, 403],
      [TOKEN, {}, 401],
      [TOKEN, { authorization: `Bearer ${TOKEN}x` }, 401],
      [TOKEN, { authorization: TOKEN }, 401],
      [TOKEN, right, undefined],
    ] as const
  ) {
    const { pool, status, stop } = admin(token);
    const [backend] = pool.backends;
    const path = `/backends/${backend!.id}`;
    const all = [
      await status("PATCH", path, headers),
      await status("POST", "/backends", headers),
      await status("DELETE", path, headers),
    ];
    assert.deepEqual(
      all,
      refusal === undefined ? [200, 201, 204] : Array(3).fill(refusal),
    );
    assert.deepEqual(
      pool.backends.map(({ url }) => url),
      refusal === undefined ? ["http://b.test"] : ["http://a.test"],
    );
    assert.equal(backend!.weight, refusal === undefined ? 7 : 1);
    // Reading needs none.
    assert.equal(await status("GET", "/backends"), 200);
    stop();
  }
});

Deno.test("Admin serves only its own names, and not its own proxy", async () => {
  const { status, stop } = admin(TOKEN);
  for (const path of ["/", "/backends", "/events", "/metrics", "/readyz"]) {
    for (
      const [headers, refusal] of [
        [{ host: "" }, 400],
        [{ host: "evil.test" }, 421],
        [{ via: "1.1 other, 1.1 sluice-1" }, 508],
      ] as const
    ) assert.equal(await status("GET", path, headers), refusal, path);
  }
  assert.equal(await status("GET", "/readyz", { via: "1.1 other" }), 200);
  stop();
});
