/**
 * The proxy's own responses before the request's body has been read: the client
 * gets them also while it is still sending, and the bytes of that body are
 * never taken for a request. What comes next on the connection is answered as
 * what it is, or the connection is closed.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Handler } from "../harness/backend.ts";
import type { RawConnection, RawResponse } from "../harness/client.ts";
import { requestText } from "../harness/client.ts";
import { within } from "../harness/wait.ts";
import { PeerGone } from "../harness/wire.ts";
import type { Group, Round, WireCase } from "./case.ts";

/** Why a request is answered early, and the beginning of such a request. */
const REFUSED: [why: string, statuses: readonly number[], head: string][] = [
  ["a Host that is none", [400], "POST /up HTTP/1.1\r\nHost: a b\r\n"],
  ["a body over MAX_BODY", [413], "POST /up HTTP/1.1\r\nHost: a\r\n"],
  ["TRACE", [405], "TRACE /up HTTP/1.1\r\nHost: a\r\n"],
];

/** Above the limit, above a runtime's read size, above all buffers. */
const SIZES = [2_000, 100_000, 10_000_000];

const FRAMINGS = ["declared", "chunked"] as const;

/** How much of the body is sent before the response is awaited. */
const BEFORE: [when: string, share: number][] = [
  ["before the answer", 1],
  ["half before and half after the answer", 0.5],
  ["after the answer", 0],
];

/** A body that consists of requests, to detect that it is read as such. */
function poison(size: number): string {
  const request = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
  return request.repeat(Math.ceil(size / request.length)).slice(0, size);
}

function chunked(body: string): string {
  const parts: string[] = [];
  for (let at = 0; at < body.length; at += 65_536) {
    const piece = body.slice(at, at + 65_536);
    parts.push(`${piece.length.toString(16)}\r\n${piece}\r\n`);
  }
  return `${parts.join("")}0\r\n\r\n`;
}

/** Sends as much as is accepted, and ignores the end of the connection. */
async function send(connection: RawConnection, text: string): Promise<void> {
  // A server that closes need not read the rest, and one that waits need not.
  const writing = connection.write(text).catch((error) => {
    if (!(error instanceof PeerGone)) throw error;
  });
  await within(writing, 2_000, "the server to read").catch(() => {});
}

/** The next request on the connection; nothing when it has been closed. */
async function next(
  connection: RawConnection,
): Promise<RawResponse | undefined> {
  await send(connection, new TextDecoder().decode(requestText("GET", "/next")));
  const answer = await connection.readResponse();
  return answer.status === 0 ? undefined : answer;
}

async function asks(
  round: Round,
  head: string,
  statuses: readonly number[],
  framing: typeof FRAMINGS[number],
  size: number,
  share: number,
): Promise<void> {
  const { connection } = round;
  const body = framing === "declared" ? poison(size) : chunked(poison(size));
  const field = framing === "declared"
    ? `Content-Length: ${size}`
    : "Transfer-Encoding: chunked";
  const first = Math.floor(body.length * share);
  const sending = send(
    connection,
    `${head}${field}\r\n\r\n${body.slice(0, first)}`,
  );
  const answer = await connection.readResponse({ method: "POST" });
  assert.ok(
    statuses.includes(answer.status),
    `${answer.status || answer.problem} is not ${statuses}`,
  );
  assert.equal(answer.complete, true);
  await sending;
  await send(connection, body.slice(first));
  const after = await next(connection);
  // Where no backend is up, the next request gets that response.
  if (after !== undefined && statuses.includes(503)) {
    assert.match(after.text, /no backend/);
  } else if (after !== undefined) {
    assert.equal(after.text, "answer to /next");
  }
  assert.deepEqual(
    round.requests.filter(({ path }) => path !== "/next" && path !== "/up"),
    [],
    "the backend got a part of a body as a request",
  );
}

const answers: Handler = async (conn, request) => {
  await request.body();
  await conn.reply({ body: `answer to ${request.path}` });
};

function early(
  why: string,
  statuses: readonly number[],
  head: string,
  sizes = SIZES,
): WireCase[] {
  return sizes.flatMap((size) =>
    FRAMINGS.flatMap((framing) =>
      BEFORE.filter(([, share]) =>
        // A chunked body is too long only after it has been sent.
        why !== "a body over MAX_BODY" || framing !== "chunked" ||
        share * size > 1_000
      ).map(([when, share]): WireCase => ({
        name:
          `early: ${size} bytes (${framing}) sent ${when} to ${why} are never the next request (RFC 9112 §9.3)`,
        on: "fresh",
        run: (round) => asks(round, head, statuses, framing, size, share),
      }))
    )
  );
}

/** Refusals of a request, each on its own connection. */
export const earlyRefusals: Group = {
  name: "early refusals",
  env: () => ({ MAX_BODY: "1000B" }),
  handler: answers,
  cases: REFUSED.flatMap(([why, statuses, head]) => early(why, statuses, head)),
};

/** No backend is up, so that each request is answered at once, the next too. */
export const earlyUnavailable: Group = {
  name: "early unavailable",
  // Nothing listens there: tests draw their ports from 20000 up.
  env: () => ({
    BACKENDS: "http://127.0.0.1:19999",
    HEALTH_PATH: "/health",
    TIMEOUT: "500ms",
    CLIENT_TIMEOUT: "500ms",
  }),
  cases: early(
    "a proxy without backends",
    // What Bun reads whole before it is sent on may come too late for that.
    [503, 408, 504],
    "POST /up HTTP/1.1\r\nHost: a\r\n",
  ),
};

/** A slow client. What is sent after its response comes too late. */
export const earlyTimeouts: Group = {
  name: "early timeouts",
  env: () => ({ TIMEOUT: "500ms", CLIENT_TIMEOUT: "500ms" }),
  handler: answers,
  cases: early(
    "a client that is too slow",
    [408, 504],
    "POST /up HTTP/1.1\r\nHost: a\r\n",
  ).filter(({ name }) => !name.includes("sent before")),
};
