/**
 * Methods: each is forwarded unchanged or refused with a response, and one
 * without a body gets no framing that declares one.
 *
 * @module
 */

import assert from "node:assert/strict";
import { requestText } from "../harness/client.ts";
import type { Group, WireCase } from "./case.ts";

/** RFC 9110 §9.3 and RFC 5789. */
const COMMON = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** Registered methods that both runtimes can send (RFC 9110 §16.1.1's list). */
const REGISTERED = [
  "ACL",
  "BIND",
  "CHECKOUT",
  "COPY",
  "LINK",
  "LOCK",
  "M-SEARCH",
  "MERGE",
  "MKACTIVITY",
  "MKCALENDAR",
  "MKCOL",
  "MOVE",
  "NOTIFY",
  "PROPFIND",
  "PROPPATCH",
  "PURGE",
  "QUERY",
  "REBIND",
  "REPORT",
  "SEARCH",
  "SUBSCRIBE",
  "UNBIND",
  "UNLINK",
  "UNLOCK",
  "UNSUBSCRIBE",
];

/** Methods that may be forwarded or refused, but never changed. */
const OTHERS = [
  "FOO",
  "TRACK",
  "DEBUG",
  "BASELINE-CONTROL",
  "GETX",
  "G",
  "X-CUSTOM.1",
  "PRI",
];

/** Not the methods that they resemble: methods are case-sensitive (§9.1). */
const LOWER = ["get", "Get", "post", "delete", "put", "options", "head"];

/** Tokens of RFC 9110 §5.6.2 they are not. */
const INVALID = ["GE(T", "G@T", "GET:", "G\xcbT"];

function unchangedOrRefused(method: string): WireCase {
  return {
    name:
      `method: ${method} goes on as it is or is refused (RFC 9110 §9.1, §15.6.2)`,
    async run(round) {
      const { status, text } = await round.ask(requestText(method, "/m"));
      if (status === 200) {
        assert.equal(round.request.method, method);
      } else {
        assert.equal(round.requests.length, 0, "nothing reached the backend");
        assert.equal(status, 501);
        assert.match(text, /[a-z]{4}/, "in words");
      }
      await round.stillFine();
    },
  };
}

/** Methods without a body have no framing. */
const BODYLESS: [method: string, headers: [string, string][]][] = [
  ["DELETE", []],
  ["OPTIONS", []],
  ["POST", []],
  ["POST", [["Content-Length", "0"]]],
  ["PUT", [["Content-Length", "0"]]],
  ["PATCH", []],
  ["PROPFIND", []],
];

/** The cases. */
export const methods: Group = {
  name: "methods",
  cases: [
    ...[...COMMON, ...REGISTERED].map((method): WireCase => ({
      name: `method: ${method} goes on as it is (RFC 9110 §9.1)`,
      on: COMMON.includes(method) ? "both" : "fresh",
      async run(round) {
        const { status } = await round.ask(requestText(method, "/m"));
        assert.equal(status, 200);
        assert.equal(round.request.method, method);
      },
    })),
    ...OTHERS.map(unchangedOrRefused),
    ...LOWER.map(unchangedOrRefused),
    ...INVALID.map((method): WireCase => ({
      name: `method: ${
        JSON.stringify(method)
      } is no token and reaches no backend (RFC 9110 §5.6.2)`,
      async run(round) {
        await round.ask(`${method} / HTTP/1.1\r\nHost: a.test\r\n\r\n`);
        assert.equal(round.requests.length, 0);
        await round.stillFine();
      },
    })),
    {
      name: "method: TRACE is answered 405 with Allow (RFC 9110 §9.3.8)",
      async run(round) {
        const { status, header } = await round.ask(requestText("TRACE", "/"));
        assert.equal(status, 405);
        assert.match(header("allow") ?? "", /\bGET\b/);
        assert.equal(round.requests.length, 0);
      },
    },
    {
      name: "method: CONNECT opens no tunnel (RFC 9110 §9.3.6)",
      async run(round) {
        const { authority } = round.backend;
        const { status } = await round.ask(
          `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`,
        );
        assert.equal(status, 501);
        assert.equal(round.requests.length, 0);
      },
    },
    ...BODYLESS.map(([method, headers]): WireCase => ({
      name: `method: ${method}${
        headers.length > 0 ? " with a length of 0" : " without a body"
      } arrives without Transfer-Encoding (RFC 9110 §8.6)`,
      async run(round) {
        const { status } = await round.ask(
          requestText(method, "/m", { headers }),
        );
        assert.equal(status, 200);
        const { request } = round;
        assert.equal(request.header("transfer-encoding"), undefined);
        assert.ok((request.length ?? 0) === 0);
      },
    })),
    ...(["DELETE", "OPTIONS", "PATCH"] as const).map((method): WireCase => ({
      name:
        `method: ${method} without a body gets no Content-Length (RFC 9110 §8.6)`,
      async run(round) {
        await round.ask(requestText(method, "/m"));
        assert.equal(round.request.header("content-length"), undefined);
      },
    })),
    ...(["GET", "HEAD"] as const).map((method): WireCase => ({
      name: `method: ${method} gets no Content-Length (RFC 9110 §8.6)`,
      async run(round) {
        await round.ask(requestText(method, "/m"));
        assert.equal(round.request.header("content-length"), undefined);
        assert.equal(round.request.header("transfer-encoding"), undefined);
      },
    })),
    {
      name:
        "method: GET with a length of 0 goes on (RFC 9110 §9.3.1), without a body",
      async run(round) {
        const headers: [string, string][] = [["Content-Length", "0"]];
        const { status } = await round.ask(
          requestText("GET", "/m", { headers }),
        );
        assert.equal(status, 200);
        assert.ok((round.request.length ?? 0) === 0);
      },
    },
    ...([
      ["GET", "a declared body", { body: "abc" }],
      ["HEAD", "a declared body", { body: "abc" }],
      ["GET", "a chunked body", {
        headers: [["Transfer-Encoding", "chunked"]],
        body: "3\r\nabc\r\n0\r\n\r\n",
      }],
    ] as [string, string, Parameters<typeof requestText>[2]][]).map((
      [method, what, request],
    ): WireCase => ({
      name:
        `method: ${method} with ${what} is refused with 400, not sent without it (RFC 9110 §9.3.1)`,
      async run(round) {
        const { status } = await round.ask(requestText(method, "/m", request));
        assert.equal(status, 400);
        assert.equal(round.requests.length, 0);
        await round.stillFine();
      },
    })),
    {
      name:
        "method: OPTIONS with Max-Forwards: 0 is answered here (RFC 9110 §7.6.2)",
      async run(round) {
        const { status } = await round.ask(
          requestText("OPTIONS", "/", { headers: { "Max-Forwards": "0" } }),
        );
        assert.equal(status, 204);
        assert.equal(round.requests.length, 0);
      },
    },
    {
      name: "method: OPTIONS with Max-Forwards: 3 goes on with 2",
      async run(round) {
        await round.ask(
          requestText("OPTIONS", "/", { headers: { "Max-Forwards": "3" } }),
        );
        assert.equal(round.request.header("max-forwards"), "2");
      },
    },
    {
      name: "method: GET with Max-Forwards: 0 goes on untouched",
      async run(round) {
        await round.get("/", [["Max-Forwards", "0"]]);
        assert.equal(round.request.header("max-forwards"), "0");
      },
    },
    {
      name: "method: HEAD is answered without a body (RFC 9110 §9.3.2)",
      async run(round) {
        const { connection } = round;
        await connection.write(requestText("HEAD", "/m"));
        await connection.readResponse({ method: "HEAD" });
        // What follows the head would be taken for this response.
        const next = await round.get("/next");
        assert.equal(next.status, 200);
        assert.equal(next.text, "ok");
      },
    },
  ],
};
