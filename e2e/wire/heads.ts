/**
 * Maximum size of a head, in both directions: what is just below a limit
 * arrives complete, and what is above it is refused without harm to other
 * requests.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Handler } from "../harness/backend.ts";
import { requestText } from "../harness/client.ts";
import type { Header } from "../harness/wire.ts";
import type { Group, WireCase } from "./case.ts";

/** So many fields, each of this length in bytes with its line's end. */
function fields(count: number, bytes: number): Header[] {
  return Array.from({ length: count }, (_, i) => {
    const name = `X-${i}`;
    return [name, "v".repeat(bytes - name.length - 4)];
  });
}

/** Fields that make a head of exactly this many bytes, with what is before. */
function filling(before: number, size: number): Header[] {
  // In fields of 8 KB, and one for the rest: few enough for any limit on those.
  const all: Header[] = [];
  let left = size - before - 2;
  for (let i = 0; left > 0; i++) {
    const bytes = left > 16_000 ? 8_000 : left;
    const name = `X-${i}`;
    all.push([name, "v".repeat(bytes - name.length - 4)]);
    left -= bytes;
  }
  return all;
}

/** A request's own fields arrive at the backend as they were sent. */
function asks(promise: string, headers: readonly Header[]): WireCase {
  return {
    name: `heads: ${promise} arrives`,
    async run(round) {
      const { status } = await round.get("/", [...headers]);
      assert.equal(status, 200);
      const got = round.request.headers.filter(([name]) => /^x-\d/i.test(name));
      assert.deepEqual(
        got.map(([name, value]) => `${name.toLowerCase()} ${value.length}`)
          .sort(),
        headers.map(([name, value]) => `${name.toLowerCase()} ${value.length}`)
          .sort(),
      );
      await round.stillFine();
    },
  };
}

/** An answer's fields come to the client. */
function answers(promise: string, headers: readonly Header[]): WireCase {
  return {
    name: `heads: ${promise} comes back`,
    on: "proven",
    async run(round) {
      const script: Handler = (conn) =>
        conn.send(
          `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${
            headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")
          }\r\nok`,
        );
      const answer = await round.get("/", [], script);
      assert.equal(answer.status, 200);
      assert.equal(answer.text, "ok");
      const got = answer.headers.filter(([name]) => /^x-\d/i.test(name));
      const length = (all: readonly Header[]) =>
        all.reduce((sum, [, value]) => sum + value.length, 0);
      assert.equal(got.length, headers.length);
      assert.equal(length(got), length(headers));
      await round.stillFine();
    },
  };
}

/** What precedes the fields in a request and in a response. */
const ASKED = requestText("GET", "/").length - 2;
const ANSWERED = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n".length;

/** The cases. */
export const heads: Group = {
  name: "heads",
  // What is over a limit of `fetch` counts against its backend.
  env: () => ({ RETRIES: "0", EJECT_AFTER: "off" }),
  cases: [
    asks("a request's head of 16 KB", filling(ASKED, 16_384)),
    asks("a request's head of 32 KB", filling(ASKED, 32_768)),
    asks("a request's head of 65,536 bytes", filling(ASKED, 65_536)),
    asks("a request's head of 65,541 bytes", filling(ASKED, 65_541)),
    asks("a request's head of 1 MB", filling(ASKED, 1_000_000)),
    asks("a request of 127 fields and a Host", fields(127, 20)),
    asks("a request of 128 fields and a Host", fields(128, 20)),
    asks("a request of 197 fields and a Host", fields(197, 20)),
    asks("a request of 198 fields and a Host", fields(198, 20)),
    asks("a request of 1,000 fields", fields(1_000, 20)),
    answers("an answer's head of 500,000 bytes", filling(ANSWERED, 500_000)),
    answers("an answer's head of 600,000 bytes", filling(ANSWERED, 600_000)),
    answers("an answer of 99 fields and a length", fields(99, 20)),
    answers("an answer of 100 fields and a length", fields(100, 20)),
    answers("an answer of 255 fields and a length", fields(255, 20)),
    answers("an answer of 256 fields and a length", fields(256, 20)),
    answers("an answer of 1,000 fields", fields(1_000, 20)),
    {
      name: "heads: a target of 60,000 bytes arrives",
      async run(round) {
        const target = `/${"a".repeat(60_000)}`;
        const { status } = await round.get(target);
        assert.equal(status, 200);
        assert.equal(round.request.target, target);
      },
    },
  ],
};

/**
 * A target that fits a head made Deno's `fetch` throw, whose limit is a URL of
 * 65,534 bytes. This counted as the backend's failure, so a client could eject
 * all backends.
 */
export const longTargets: Group = {
  name: "long targets",
  env: (backend) => ({
    BACKENDS: `${backend.url}/${"base".repeat(20)}`,
    EJECT_AFTER: "1",
  }),
  cases: [
    {
      name:
        "heads: a target too long for a backend's base path arrives or is a 414, and no backend is blamed (RFC 9110 §15.5.15)",
      async run(round) {
        const target = `/${"a".repeat(65_500)}`;
        for (let i = 0; i < 3; i++) {
          const { status } = await round.ask(
            `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`,
          );
          assert.ok([200, 414].includes(status), `${status} is no 414`);
        }
        assert.doesNotMatch(round.proxy.log, /ejected/);
      },
    },
  ],
};
