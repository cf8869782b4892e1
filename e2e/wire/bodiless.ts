/**
 * Responses without a body: the fields of a response to HEAD, a 204, a 205 or a
 * 304 come back unchanged, nothing is made up, and the connection is kept.
 *
 * @module
 */

import assert from "node:assert/strict";
import { requestText } from "../harness/client.ts";
import type { RawResponse } from "../harness/client.ts";
import type { Group, Round, WireCase } from "./case.ts";

const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/** Statuses that never have a body (RFC 9110 §6.4.1, §15.3.6), and some that do. */
const STATUSES = [204, 205, 304, 200, 206, 404, 500];
const EMPTY: readonly number[] = [204, 205, 304];

/** Declared lengths. */
const FRAMINGS = [
  "",
  "Content-Length: 0\r\n",
  "Content-Length: 1234\r\n",
  "Transfer-Encoding: chunked\r\n",
];

/** Other fields. */
const MORE: Readonly<Record<string, string>>[] = [
  {},
  { "content-type": "text/x" },
  { "content-encoding": "gzip", "etag": '"strong"' },
  { "content-type": "a/b", "content-encoding": "br", "etag": 'W/"weak"' },
];

const COOKIES = ["a=1; Path=/", "b=2; HttpOnly"];

/** One response of a backend, and the request it is for. */
interface Said {
  method: string;
  status: number;
  framing: string;
  more: Readonly<Record<string, string>>;
  cookies: readonly string[];
}

/** Whether a server may send this, and can send it without a body. */
function possible({ method, status, framing }: Said): boolean {
  if (method === "HEAD" || status === 204 || status === 304) return true;
  // With a length a body would follow; with neither it would last to the end.
  return framing !== "" && framing !== FRAMINGS[2];
}

function bytesOf({ method, status, framing, more, cookies }: Said): string {
  const lines = [
    ...Object.entries(more).map(([name, value]) => `${name}: ${value}`),
    ...cookies.map((cookie) => `Set-Cookie: ${cookie}`),
  ].map((line) => `${line}\r\n`);
  const chunks = framing === FRAMINGS[3] && method !== "HEAD" &&
      status !== 204 && status !== 304
    ? "0\r\n\r\n"
    : "";
  return `HTTP/1.1 ${status} X\r\n${framing}${lines.join("")}\r\n${chunks}`;
}

/** The lengths that the client may get for a length of the backend. */
function lengthsFor({ method, status, framing }: Said): unknown[] {
  const said = /\d+/.exec(framing)?.[0];
  // RFC 9110 §8.6 forbids it.
  if (status === 204) return [undefined];
  // Both are optional here: Deno sends none, and an empty 205 has a length of
  // 0.
  if (status === 205) return [undefined, "0"];
  if (status === 304) return [undefined, said];
  // An answer that has come whole may be counted.
  if (method !== "HEAD" && said === undefined) return [undefined, "0"];
  return [said];
}

function check(said: Said, answer: RawResponse): void {
  const { status, more, cookies } = said;
  const what = JSON.stringify(said);
  // Deno cannot send a 205 that ends, which is a separate case elsewhere.
  const statuses = status === 205 ? [204, 205] : [status];
  assert.ok(statuses.includes(answer.status), `${answer.status} for ${what}`);
  const length = answer.header("content-length");
  assert.ok(lengthsFor(said).includes(length), `length ${length} for ${what}`);
  for (const name of ["content-type", "content-encoding", "etag"]) {
    assert.equal(answer.header(name), more[name], `${name} for ${what}`);
  }
  const set = answer.headerAll("set-cookie");
  assert.deepEqual(set.filter((cookie) => !/^S=/.test(cookie)), cookies, what);
  if (EMPTY.includes(status) && status !== 205) {
    assert.equal(answer.header("transfer-encoding"), undefined, what);
  }
  assert.equal(answer.complete, true, what);
  assert.equal(answer.body.length, 0, what);
}

/** All answers to one method, one after another on one connection. */
async function all(round: Round, method: string): Promise<void> {
  const { connection, backend, proxy } = round;
  const { length: before } = proxy.stderr;
  for (const status of STATUSES) {
    for (const framing of FRAMINGS) {
      for (const more of MORE) {
        const cookies = more.etag === undefined ? [] : COOKIES;
        const said = { method, status, framing, more, cookies };
        if (!possible(said)) continue;
        backend.handler = (conn) => conn.send(bytesOf(said));
        await connection.write(requestText(method, "/"));
        check(said, await connection.readResponse({ method }));
        // A body, or a length that is taken for one's, would be detected here.
        const next = await round.get(
          "/",
          [],
          (conn) => conn.reply({ body: "next" }),
        );
        assert.equal(
          next.text,
          "next",
          `the next answer after ${bytesOf(said)}`,
        );
      }
    }
  }
  assert.deepEqual(proxy.stderr.slice(before), []);
}

/**
 * A conditional HEAD that nginx answered with 304 was a 500 on Deno: the
 * response got an empty stream for a body, which `Response` refuses there.
 */
function bodiless(
  how: string,
  env: Record<string, string>,
  more: readonly WireCase[] = [],
): Group {
  return {
    name: `bodiless ${how}`,
    whole: true,
    env: () => env,
    cases: METHODS.map((method): WireCase => ({
      name:
        `bodiless (${how}): ${method} gets what was said of a body that there is not (RFC 9110 §6.4.1)`,
      on: "proven",
      run: (round) => all(round, method),
    })).concat(more),
  };
}

/** Responses that are passed on as they come, once a backend is trusted. */
export const bodilessAsItIs: Group = bodiless("as it is", {}, [{
  name:
    "bodiless: HEAD gets no Transfer-Encoding of which nothing was said (RFC 9112 §6.1)",
  on: "proven",
  async run(round) {
    const answer = await round.ask(
      requestText("HEAD", "/"),
      (conn) => conn.send("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n"),
    );
    assert.equal(answer.status, 200);
    assert.equal(answer.header("transfer-encoding"), undefined);
  },
}, {
  name: "bodiless: HEAD keeps a length that is said twice (RFC 9110 §8.6)",
  on: "proven",
  async run(round) {
    const length = "Content-Length: 1234\r\n";
    const answer = await round.ask(
      // Sent by `fetch` on Bun.
      requestText("HEAD", "/", {
        headers: { "User-Agent": "test", "Accept": "*/*" },
      }),
      (conn) => conn.send(`HTTP/1.1 200 OK\r\n${length}${length}\r\n`),
    );
    assert.equal(answer.status, 200);
    assert.equal(answer.header("content-length"), "1234");
  },
}]);
/** Answers that get a field, and so are copied. */
export const bodilessCopied: Group = bodiless("copied", { REQUEST_ID: "on" });
/** Responses that get a cookie in addition to their own. */
export const bodilessSticky: Group = bodiless("sticky", { POLICY: "sticky:S" });
