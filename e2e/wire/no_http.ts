/**
 * Responses that are not HTTP, or not yet, on a connection that the backend
 * keeps open: a 502 at once if that is detectable, otherwise a 504 at
 * `TIMEOUT`, but never a request that waits for ever. They run concurrently.
 *
 * @module
 */

import assert from "node:assert/strict";
import { RawConnection, requestText } from "../harness/client.ts";
import { within } from "../harness/wait.ts";
import type { Group, Round, WireCase } from "./case.ts";

/** What can never become an answer. */
const NEVER: [promise: string, bytes: string][] = [
  [
    "bytes of TLS",
    `\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03${"x".repeat(111)}`,
  ],
  [
    "a greeting of HTTP/2",
    "\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0d\0\x04\0\xa0\0\0\0\x02\0\0\0\0",
  ],
  ["a greeting of SMTP", "220 mail.test ESMTP\r\n"],
  ["a greeting of SSH", "SSH-2.0-OpenSSH_9.2\r\n"],
  ["a page without a head (HTTP/0.9)", "<html>hello</html>\r\n"],
  ["HTTP/0.9 as a version", "HTTP/0.9 200 OK\r\n\r\n"],
  ["a version in lower case", "http/1.1 200 ok\r\n\r\n"],
  ["a status that is none", "HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok"],
  ["100,000 letters", "x".repeat(100_000)],
  ["16 letters", "x".repeat(16)],
];

/** The same, but shorter than any answer could be. */
const SHORT: [promise: string, bytes: string][] = [
  ["15 letters", "x".repeat(15)],
  ["an alert of TLS", "\x15\x03\x01\x00\x02\x02\x0a"],
  ["a greeting of ICY", "ICY 200 OK\r\n\r\n"],
  ["4 zero bytes", "\0\0\0\0"],
];

/** What is not a response yet, but may become one (RFC 9112 §2.2). */
const UNFINISHED: [promise: string, bytes: string][] = [
  ["one letter", "H"],
  ["half a status line", "HTTP/1.1 20"],
  ["half a head", "HTTP/1.1 200 OK\r\nContent-Le"],
  ["an empty line", "\r\n"],
  ["a hundred empty lines", "\r\n".repeat(100)],
  ["a 100 and no more", "HTTP/1.1 100 Continue\r\n\r\n"],
];

const BYTES = new Map([...NEVER, ...SHORT, ...UNFINISHED]);

/** How often each is requested, half of them on one connection. */
const TIMES = 6;

/** The statuses that come of asking for bytes again and again. */
async function statuses(round: Round, promise: string): Promise<number[]> {
  const target = `/${encodeURIComponent(promise)}`;
  const one = async (connection: RawConnection, times: number) => {
    const found: number[] = [];
    for (let i = 0; i < times; i++) {
      const method = i % 2 === 0 ? "GET" : "POST";
      const body = method === "POST" ? { body: "abc" } : {};
      await connection.write(requestText(method, target, body));
      const answer = await within(
        connection.readResponse({ method }),
        10_000,
        `an answer in place of ${promise}`,
      );
      assert.match(answer.header("proxy-status") ?? "", /^sluice; error=/);
      found.push(answer.status);
    }
    return found;
  };
  const others = Array.from({ length: TIMES / 2 }, () => round.connect());
  const all = [
    one(round.connection, TIMES / 2),
    ...others.map(async (other) => await one(await other, 1)),
  ];
  return (await Promise.all(all)).flat();
}

function ends(promise: string, wanted: readonly number[]): WireCase {
  return {
    name: `no http: ${promise} on a connection that stays open is a ${
      wanted.length === 1 ? "502 at once" : "502, or a 504 at TIMEOUT"
    }`,
    on: "fresh",
    async run(round) {
      for (const status of await statuses(round, promise)) {
        assert.ok(wanted.includes(status), `${status} is not 502`);
      }
    },
  };
}

/**
 * A backend's bytes that were not HTTP hung a request past 15 s on Bun, whose
 * `fetch` parses nothing before 16 bytes have come: such a request waits for
 * the time limit, which has to work whatever the backend sends.
 */
export const noHttp: Group = {
  name: "no http",
  together: true,
  env: () => ({ RETRIES: "0", EJECT_AFTER: "off", TIMEOUT: "1s" }),
  handler: (conn, request) =>
    conn.send(BYTES.get(decodeURIComponent(request.path.slice(1))) ?? ""),
  cases: [
    ...NEVER.map(([promise]) => ends(promise, [502])),
    ...SHORT.map(([promise]) => ends(promise, [502])),
    ...UNFINISHED.map(([promise]) => ends(promise, [502, 504])),
  ],
};
