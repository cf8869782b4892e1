/**
 * `TRUSTED_PROXIES`: whose forwarding fields are trusted, and what is used of
 * them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { requestText } from "../harness/client.ts";
import { until } from "../harness/wait.ts";
import type { Group, WireCase } from "./case.ts";

type Fields = [name: string, value: string][];

/** `TRUSTED_PROXIES`: a trusted peer. */
function trusted(
  promise: string,
  sent: Fields,
  wanted: Record<string, string | undefined>,
): WireCase {
  return {
    name: `trust: ${promise}`,
    async run(round) {
      const { status } = await round.get("/", sent);
      assert.equal(status, 200);
      for (const [name, value] of Object.entries(wanted)) {
        assert.deepEqual(
          round.request.headerAll(name),
          value === undefined ? [] : [value],
        );
      }
    },
  };
}

const TRUSTED: WireCase[] = [
  trusted("X-Forwarded-For is appended to", [["X-Forwarded-For", "1.2.3.4"]], {
    "x-forwarded-for": "1.2.3.4, 127.0.0.1",
  }),
  trusted(
    "X-Forwarded-For on several lines stays in order",
    [["X-Forwarded-For", "1.1.1.1"], ["X-Forwarded-For", "2.2.2.2, 3.3.3.3"]],
    { "x-forwarded-for": "1.1.1.1, 2.2.2.2, 3.3.3.3, 127.0.0.1" },
  ),
  trusted("X-Forwarded-For begins here where there is none", [], {
    "x-forwarded-for": "127.0.0.1",
  }),
  trusted(
    "X-Forwarded-Host and -Proto are kept",
    [["X-Forwarded-Host", "a.test"], ["X-Forwarded-Proto", "https"]],
    { "x-forwarded-host": "a.test", "x-forwarded-proto": "https" },
  ),
  trusted(
    "X-Forwarded-Port and X-Real-IP are kept",
    [["X-Forwarded-Port", "443"], ["X-Real-IP", "1.2.3.4"]],
    { "x-forwarded-port": "443", "x-real-ip": "1.2.3.4" },
  ),
  trusted("Forwarded is appended to (RFC 7239 §4)", [[
    "Forwarded",
    "for=1.2.3.4",
  ]], {
    "forwarded": "for=1.2.3.4, for=127.0.0.1",
  }),
  trusted("an alias is not believed", [
    ["X_Forwarded_For", "1.2.3.4"],
    ["X.Forwarded.Proto", "https"],
  ], {
    "x-forwarded-for": "127.0.0.1",
    "x_forwarded_for": undefined,
    "x-forwarded-proto": "http",
    "x.forwarded.proto": undefined,
  }),
  trusted(
    "Connection cannot name what was forwarded away (CVE-2024-45410)",
    [["X-Forwarded-For", "1.2.3.4"], ["Connection", "X-Forwarded-For"]],
    { "x-forwarded-for": "1.2.3.4, 127.0.0.1" },
  ),
];

/** Which client a request has, according to a trusted proxy. */
const CLIENTS: [forwardedFor: string, client: string][] = [
  ["203.0.113.7", "203.0.113.7"],
  ["203.0.113.7:5678", "203.0.113.7"],
  ["[2001:db8::7]:5678", "2001:db8::7"],
  ["9.9.9.9, 203.0.113.7, 10.1.2.3", "203.0.113.7"],
  ["203.0.113.7, unknown", "127.0.0.1"],
  ["203.0.113.7, _hidden, 10.1.2.3", "10.1.2.3"],
  ['evil"} {"client":"x', "127.0.0.1"],
  ["010.0.0.1", "127.0.0.1"],
];

/** A v4 peer that is trusted by its block. */
export const trust: Group = {
  name: "trust",
  env: () => ({
    TRUSTED_PROXIES: "10.0.0.0/8, 127.0.0.0/8",
    ACCESS_LOG: "json",
  }),
  cases: [
    ...TRUSTED,
    // What was no address became the client's, in the log and for policies.
    ...CLIENTS.map(([said, client]): WireCase => ({
      name: `trust: a client in "${said}" is ${client}`,
      async run(round) {
        const target = `/client?${crypto.randomUUID()}`;
        const { status } = await round.get(target, [["X-Forwarded-For", said]]);
        assert.equal(status, 200);
        const line = await until(
          () => round.proxy.stdout.find((line) => line.includes(target)),
          { what: "the line of the access log" },
        );
        assert.equal(JSON.parse(line!).client, client);
      },
    })),
  ],
};

/** A v4 peer on a dual-stack listener: v4-mapped, or plain. */
const ON_BOTH = { HOST: "::" };

/** A v4 peer of a v6 listener counts as v4, in the list and in the fields. */
export const trustMapped: Group = {
  name: "trust of mapped peers",
  env: () => ({ ...ON_BOTH, TRUSTED_PROXIES: "::ffff:127.0.0.0/104" }),
  cases: [
    trusted(
      "a v4-mapped peer is named by its v4 address",
      [["X-Forwarded-For", "1.2.3.4"], ["Forwarded", "for=1.2.3.4"]],
      {
        "x-forwarded-for": "1.2.3.4, 127.0.0.1",
        "forwarded": "for=1.2.3.4, for=127.0.0.1",
      },
    ),
  ],
};

/** A v6 peer that is trusted. */
export const trustV6: Group = {
  name: "trust of v6",
  env: () => ({ ...ON_BOTH, TRUSTED_PROXIES: "::1" }),
  cases: [
    {
      name:
        "trust: a v6 peer is believed, and named in quotes in Forwarded (RFC 7239 §6)",
      on: "fresh",
      async run(round) {
        const client = await round.connectTo(round.proxy.port, "::1");
        const { status } = await client.request(requestText("GET", "/", {
          headers: {
            "X-Forwarded-For": "2001:db8::1",
            "Forwarded": 'for="[2001:db8::1]"',
          },
        }));
        assert.equal(status, 200);
        const { request } = round;
        assert.deepEqual(request.headerAll("x-forwarded-for"), [
          "2001:db8::1, ::1",
        ]);
        assert.deepEqual(request.headerAll("forwarded"), [
          'for="[2001:db8::1]", for="[::1]"',
        ]);
      },
    },
    trusted(
      "a v4 peer is a stranger to a list of v6",
      [["X-Forwarded-For", "1.2.3.4"]],
      { "x-forwarded-for": "127.0.0.1" },
    ),
  ],
};

/** Another peer than the trusted one. */
export const trustOfOthers: Group = {
  name: "trust of others",
  env: () => ({ TRUSTED_PROXIES: "10.0.0.0/8, ::1, 127.0.0.2" }),
  cases: [
    trusted(
      "a peer that is not in the list is a stranger",
      [["X-Forwarded-For", "1.2.3.4"], ["Forwarded", "for=1.2.3.4"]],
      { "x-forwarded-for": "127.0.0.1", "forwarded": undefined },
    ),
    trusted(
      "a peer does not become trusted by saying so",
      [["X-Forwarded-For", "10.0.0.1"], ["X-Real-IP", "10.0.0.1"]],
      { "x-forwarded-for": "127.0.0.1", "x-real-ip": undefined },
    ),
  ],
};

/** Without the setting: no peer is believed. */
export const strangers: Group = {
  name: "strangers",
  cases: [
    {
      name:
        "trust: X-Forwarded-For of a stranger is replaced (CVE-2018-16461 class)",
      async run(round) {
        await round.get("/", [
          ["X-Forwarded-For", "1.1.1.1"],
          ["X-Forwarded-For", "2.2.2.2"],
        ]);
        assert.deepEqual(round.request.headerAll("x-forwarded-for"), [
          "127.0.0.1",
        ]);
      },
    },
    {
      name: "trust: X-Forwarded-Host and -Proto of a stranger are replaced",
      async run(round) {
        await round.get("/", [
          ["X-Forwarded-Host", "evil.test"],
          ["X-Forwarded-Proto", "https"],
        ]);
        const { request } = round;
        assert.deepEqual(request.headerAll("x-forwarded-host"), [
          "sluice.test",
        ]);
        assert.deepEqual(request.headerAll("x-forwarded-proto"), ["http"]);
      },
    },
  ],
};
