/**
 * Fields that a setting adds: once, and only where they belong.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Group, WireCase } from "./case.ts";

type Fields = [name: string, value: string][];

/** `REQUEST_ID`: one id, on both sides. */
export const requestIds: Group = {
  name: "request ids",
  env: () => ({ REQUEST_ID: "on" }),
  cases: ([
    ["one that the backend sends as well", [["X-Request-Id", "theirs-1"]]],
    ["two that the backend sends", [
      ["X-Request-Id", "theirs-1"],
      ["x-request-id", "theirs-2"],
    ]],
    ["none that the backend sends", []],
  ] as [promise: string, sent: Fields][]).map((
    [promise, headers],
  ): WireCase => ({
    // The client got two, and could not know which of them is in the log.
    name: `request id: it comes back once, whatever of ${promise}`,
    on: "proven",
    async run(round) {
      for (const sent of [[], [["X-Request-Id", "from-the-client"]]]) {
        const before = round.requests.length;
        const { status, headerAll } = await round.get(
          "/",
          sent as Fields,
          (conn) => conn.reply({ headers, body: "ok" }),
        );
        assert.equal(status, 200);
        const [id, ...more] = round.requests[before]!.headerAll("x-request-id");
        assert.deepEqual(more, []);
        assert.deepEqual(headerAll("x-request-id"), [id]);
        if (sent.length > 0) assert.equal(id, "from-the-client");
      }
    },
  })),
};

/** `POLICY=sticky:…`: which answers bind a client. */
export const stickyCookies: Group = {
  name: "sticky cookies",
  env: () => ({ POLICY: "sticky:srv" }),
  cases: ([
    ["an answer that says nothing of caches", undefined, true],
    ["a private answer", "private, max-age=60", true],
    ["an answer that is not to be stored", "no-store", true],
    ["an answer that is old at once", "max-age=0, must-revalidate", true],
    ["a public answer", "public", false],
    ["an answer for shared caches", "s-maxage=60", false],
    ["an answer that keeps for a minute", "max-age=60", false],
  ] as const).map(([promise, control, binds]): WireCase => ({
    // A cache in front would give one cookie to all, and bind all to one
    // backend.
    name: `sticky: ${promise} ${binds ? "binds" : "does not bind"} its client`,
    async run(round) {
      const headers: Fields = [["Set-Cookie", "own=1"]];
      if (control !== undefined) headers.push(["Cache-Control", control]);
      const { headerAll } = await round.get(
        "/",
        [],
        (conn) => conn.reply({ headers, body: "ok" }),
      );
      const names = headerAll("set-cookie").map((cookie) =>
        cookie.split("=", 1)[0]
      );
      assert.deepEqual(names, binds ? ["own", "srv"] : ["own"]);
      assert.deepEqual(
        headerAll("cache-control"),
        control === undefined ? [] : [control],
      );
    },
  })),
};

/** `VIA=off`. */
export const viaOff: Group = {
  name: "via off",
  env: () => ({ VIA: "off" }),
  cases: [
    {
      name: "VIA=off: none is added",
      async run(round) {
        await round.get("/");
        assert.equal(round.request.header("via"), undefined);
      },
    },
    {
      name: "VIA=off: the client's passes",
      async run(round) {
        await round.get("/", [["Via", "1.1 a"]]);
        assert.deepEqual(round.request.headerAll("via"), ["1.1 a"]);
      },
    },
  ],
};
