/**
 * What a peer sends is read in linear time: a few dozen kilobytes in one field,
 * which is as much as the runtimes' servers let in, must not hold up the others.
 *
 * @module
 */

import assert from "node:assert/strict";
import { parseAddress } from "../config/address.ts";
import { HOSTILE } from "../testing/hostile.ts";
import { accessLine } from "../observe/log.ts";
import { plainAddress } from "./addresses.ts";
import {
  destinationClimbs,
  impliedHost,
  refuseFraming,
  refuseHost,
  targetOf,
} from "./guard.ts";
import {
  Lines,
  type RequestFacts,
  RequestRules,
  responseFields,
} from "./headers.ts";
import { cookieOf } from "./keys.ts";
import { cookieForClient, forBackend, locationForClient } from "./mapping.ts";
import { resumableOf } from "./resume.ts";
import { traceOf } from "./trace.ts";

/** What field values may hold, as the runtimes' servers see to it. */
const asValue = (text: string) => text.trim();

const FACTS: RequestFacts = {
  method: "MOVE",
  peer: "192.0.2.7",
  host: "a.test",
  scheme: "http",
  backendHost: "b.test",
  backendScheme: "http",
  basePath: "/base",
};

const SIDES = {
  ownOrigin: "http://10.0.0.1:3000",
  backendScheme: "http",
  backendHost: "b.test",
  basePath: "/base",
  client: { scheme: "https", host: "a.test" },
  connection: { scheme: "http", host: "a.test" },
};

const rules = new RequestRules({
  trusts: (address) => address.startsWith("192.0.2."),
  isAddress: (text) => parseAddress(text) !== undefined,
  pseudonym: "sluice-1",
});

const withField = (name: string, text: string) =>
  new Headers([[name, asValue(text)]]);

const stream = new Response("", {
  headers: { "content-type": "text/event-stream" },
});

const EVENTS = new Headers({ accept: "text/event-stream" });

/** All that reads what a client or a backend has sent, in these files. */
const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  "refuseHost()": refuseHost,
  "impliedHost()": (text) => impliedHost(`http://${text}`, true),
  "refuseFraming()": (text) => refuseFraming("GET", text, text),
  "targetOf()": (text) => targetOf(`http://a.test/${text}`, "a.test", true),
  "targetOf() in absolute form": (text) =>
    targetOf(`http://${text}/x`, "a.test", true),
  "targetOf() of a scheme": (text) =>
    targetOf(`http://a.test/${text}://`, "a.test", true),
  "destinationClimbs()": (text) =>
    destinationClimbs("MOVE", withField("destination", `/${text}`)),
  "fields() with Connection": (text) =>
    rules.fields(withField("connection", text), FACTS),
  "fields() with Destination": (text) =>
    rules.fields(withField("destination", text), FACTS),
  "fields() with If": (text) => rules.fields(withField("if", text), FACTS),
  "fields() with X-Forwarded-Host": (text) =>
    rules.clientOrigin(withField("x-forwarded-host", text), FACTS),
  "loops()": (text) => rules.loops(withField("via", text)),
  "clientAddress()": (text) =>
    rules.clientAddress(withField("x-forwarded-for", text), "192.0.2.7"),
  "plainAddress()": plainAddress,
  "parseAddress()": parseAddress,
  "cookieOf()": (text) => cookieOf(withField("cookie", text), "srv"),
  "traceOf()": (text) => traceOf(`00-${text}`),
  "locationForClient()": (text) => locationForClient(`/base${text}`, SIDES),
  "locationForClient() of a URL": (text) =>
    locationForClient(`http://${text}`, SIDES),
  "cookieForClient()": (text) => cookieForClient(text, "/base"),
  "forBackend()": (text) => forBackend("if", text, SIDES),
  "responseFields()": (text) =>
    responseFields(withField("connection", text), {
      ...SIDES,
      added: undefined,
    }),
  "resumableOf()": (text) =>
    resumableOf("GET", withField("accept", `text/event-stream${text}`), stream),
  "accessLine()": (text) => {
    for (const format of ["json", "combined"] as const) {
      accessLine(
        {
          client: text,
          method: "GET",
          target: `/${text}`,
          status: 200,
          bytes: 0,
          ms: 1,
          backend: undefined,
          attempts: [],
          requestId: text,
          traceId: undefined,
          request: new Request("http://a.test/", {
            headers: withField("referer", text),
          }),
        },
        0,
        { format, query: false },
      );
    }
  },
};

/** How long an input is measured before it is blamed: machines are busy. */
const PATIENCE_MS = 20_000;

/** Milliseconds that a busy machine may add to any of them. */
const NOTHING_MS = 20;

/**
 * Asserts that four times as much takes about four times as long, and less than
 * another request may wait. The quickest of all rounds counts for each size.
 */
function assertLinear(
  what: string,
  run: (kilobytes: number) => unknown,
  mostMs = 50,
): void {
  const sizes = [16, 32, 64];
  const least = sizes.map(() => Infinity);
  const end = performance.now() + PATIENCE_MS;
  do {
    for (let i = 0; i < 3 * sizes.length; i++) {
      const at = i % sizes.length;
      const began = performance.now();
      run(sizes[at]!);
      least[at] = Math.min(least[at]!, performance.now() - began);
    }
    // What is quadratic takes sixteen times as long; what takes hardly any time
    // has no ratio.
    const [small = 0, , large = 0] = least;
    if (large < NOTHING_MS || (large < 8 * small && large < mostMs)) return;
  } while (performance.now() < end);
  assert.fail(`${what}: ${least.map((ms) => `${ms} ms`).join(", ")}`);
}

for (const [name, read] of Object.entries(READERS)) {
  Deno.test(`${name} reads 64 KB of anything in linear time`, () => {
    for (const [what, make] of Object.entries(HOSTILE)) {
      const texts = new Map(
        [16, 32, 64].map((kilobytes) => [kilobytes, make(kilobytes * 1024)]),
      );
      assertLinear(what, (kilobytes) => read(texts.get(kilobytes)!));
    }
  });
}

Deno.test("fields() reads thousands of lines in linear time", () => {
  const lines = (kilobytes: number) => {
    const names = Array.from({ length: kilobytes * 64 }, (_, i) => `x-n${i}`);
    return new Lines([
      ["connection", names.join()],
      ...names.map((name): [string, string] => [name, "1"]),
    ]);
  };
  assertLinear("lines", (kilobytes) => rules.fields(lines(kilobytes), FACTS));
});

Deno.test("resumableOf() holds back an event in one-byte pieces in linear time", () => {
  // Each piece was copied together with all before it: a megabyte cost minutes.
  const piece = new TextEncoder().encode("x");
  assertLinear("pieces", (kilobytes) => {
    const carried = resumableOf("GET", EVENTS, stream)!;
    const bytes = kilobytes * 4096;
    for (let i = 0; i < bytes; i++) carried.take(piece);
    assert.equal(carried.rest().byteLength, bytes);
  }, 1_000);
});
