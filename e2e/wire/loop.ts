/**
 * Requests that come round again: a ring of proxies must not spin.
 *
 * @module
 */

import assert from "node:assert/strict";
import { deadPort } from "../harness/backend.ts";
import { requestText } from "../harness/client.ts";
import { startProxy } from "../harness/proxy.ts";
import type { Group } from "./case.ts";

/** The cases; the group's own proxy is the first of a chain. */
export const loop: Group = {
  name: "loop",
  cases: [
    {
      name: "loop: a chain of two is no loop, and each is named in Via",
      on: "fresh",
      async run(round) {
        await using outer = await startProxy(round.runtime, {
          env: { BACKENDS: round.proxy.url, HEALTH_PATH: "off" },
        });
        const client = await round.connectTo(outer.port);
        const { status } = await client.request(requestText("GET", "/"));
        assert.equal(status, 200);
        const names = round.request.headerAll("via").join(", ").split(", ");
        assert.equal(names.length, 2);
        assert.notEqual(names[0], names[1]);
      },
    },
    {
      name: "loop: a ring of two ends in 508 at once (RFC 5842 §7.2)",
      on: "fresh",
      async run(round) {
        const port = await deadPort();
        await using second = await startProxy(round.runtime, {
          env: { BACKENDS: `http://127.0.0.1:${port}`, HEALTH_PATH: "off" },
        });
        await using first = await startProxy(round.runtime, {
          env: {
            PORT: `${port}`,
            BACKENDS: second.url,
            HEALTH_PATH: "off",
          },
        });
        const client = await round.connectTo(first.port);
        const began = performance.now();
        const answer = await client.request(requestText("GET", "/"));
        assert.equal(answer.status, 508);
        assert.match(
          answer.header("proxy-status") ?? "",
          /proxy_loop_detected/,
        );
        assert.ok(performance.now() - began < 5_000);
      },
    },
    {
      name: "loop: another proxy's name in Via is no loop",
      async run(round) {
        const { status } = await round.get("/", [[
          "Via",
          "1.1 sluice-00000000, 1.1 sluice",
        ]]);
        assert.equal(status, 200);
      },
    },
    {
      name: "loop: what is our own name in another field is no loop",
      async run(round) {
        await round.get("/");
        const own = round.requests[0]!.header("via")!;
        const { status } = await round.get("/", [["X-Via", own]]);
        assert.equal(status, 200);
      },
    },
    {
      name: "loop: our own name in Via is a loop, whatever stands round it",
      async run(round) {
        await round.get("/");
        const own = round.requests[0]!.header("via")!;
        const { status } = await round.get("/", [
          ["Via", `1.0 a, ${own} (comment)`],
          ["Via", "1.1 b"],
        ]);
        assert.equal(status, 508);
        assert.equal(round.requests.length, 1);
      },
    },
  ],
};
