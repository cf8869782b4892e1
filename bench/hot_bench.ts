// What does each step cost that every request takes?
//
// `deno bench bench/hot_bench.ts`. The costs differ on Bun (a copy of fields is
// cheap there, pairs are expensive), so also `bun run bench/hot_bench.ts`.

import {
  refuseFraming,
  refuseHost,
  refuseMethod,
  targetOf,
} from "../proxy/guard.ts";
import { Lines, RequestRules, responseFields } from "../proxy/headers.ts";
import { Backend } from "../balancer.ts";
import { accessLine } from "../observe/log.ts";
import type { Settled } from "../proxy/observed.ts";
import { decide, RetryBudget } from "../proxy/retry.ts";
import { streamOf } from "../proxy/body.ts";

/** Where there is no `Deno.bench`: the median of ten rounds, printed. */
function timed(name: string, step: () => unknown): void {
  const rounds: number[] = [];
  for (let round = 0; round <= 10; round++) {
    const began = performance.now();
    for (let i = 0; i < 20_000; i++) step();
    // The first one is for the compiler.
    if (round > 0) rounds.push((performance.now() - began) / 20_000 * 1e6);
  }
  rounds.sort((a, b) => a - b);
  console.log(`${rounds[5]!.toFixed(0).padStart(8)} ns  ${name}`);
}

const bench: (name: string, step: () => unknown) => void = "Deno" in globalThis
  ? (name, step) => Deno.bench(name, () => void step())
  : timed;

const HOST = "localhost:8080";
const URL = `http://${HOST}/some/path/to/thing?x=1&y=abcdef`;

/** What a browser sends. */
const request = new Headers([
  ["host", HOST],
  ["user-agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"],
  ["accept", "text/html,application/xhtml+xml"],
  ["accept-language", "en-US,en;q=0.5"],
  ["accept-encoding", "gzip, deflate, br"],
  ["cookie", "a=1; b=2; session=abcdef"],
  ["referer", `http://${HOST}/`],
  ["cache-control", "no-cache"],
  ["connection", "keep-alive"],
  ["sec-fetch-mode", "navigate"],
]);

const FACTS = {
  method: "GET",
  peer: "192.0.2.1",
  host: HOST,
  scheme: "http",
  backendHost: HOST,
  backendScheme: "http",
  basePath: "",
};

/** What nginx answers. */
const response = new Headers([
  ["server", "nginx"],
  ["date", "Mon, 23 Nov 2026 22:00:00 GMT"],
  ["content-type", "text/html"],
  ["content-length", "1234"],
  ["connection", "keep-alive"],
  ["etag", '"abc"'],
]);

const rules = new RequestRules({
  trusts: undefined,
  pseudonym: "sluice-bench",
});

bench("guard: method, host, target, framing", () => {
  refuseMethod("GET", { sendsMethod: () => true });
  refuseHost(HOST);
  targetOf(URL, HOST);
  refuseFraming("GET", null, null);
});

bench("guard: a target with dot segments", () => {
  targetOf(`http://${HOST}/a/./b/../c?x`, HOST);
});

bench("rules: request fields", () => {
  rules.fields(request, FACTS);
});

// Including the conversion to what `fetch` reads, which pairs still need.
bench("rules: request fields, as pairs made a Headers", () => {
  new Headers(rules.fields(request, FACTS));
});

// What is sent on Bun: 2.6 times as fast as the one above there, slower on
// Deno.
bench("rules: request fields, as a copy", () => {
  rules.copied(request, FACTS);
});

const lines = new Lines([...request]);

bench("rules: request fields, from a server's own lines", () => {
  rules.fields(lines, FACTS);
});

bench("rules: response fields", () => {
  responseFields(response, {
    ownOrigin: "http://10.0.0.1:3000",
    backendScheme: "http",
    backendHost: HOST,
    basePath: "",
    client: { scheme: "http", host: HOST },
    added: undefined,
  });
});

const budget = new RetryBudget(0.2);
let now = 0;

bench("retry: count a request", () => budget.request(now += 0.01));

bench("retry: decide", () => {
  decide({
    clientGone: false,
    timedOut: false,
    sent: true,
    idempotent: true,
    replayable: true,
    retries: 0,
    refusals: 0,
    maxRetries: 2,
    budget: () => true,
  });
});

const backend = new Backend({ url: "http://10.0.0.1:3000" });
const settled: Settled = {
  client: "192.0.2.1",
  method: "GET",
  target: "/some/path/to/thing?x=1&y=abcdef",
  status: 200,
  bytes: 1234,
  ms: 1.234,
  backend,
  attempts: [{
    backend,
    startedAt: 0,
    ms: 1.2,
    outcome: "200",
    spanId: undefined,
  }],
  requestId: undefined,
  traceId: undefined,
  request: new Request(URL),
};

for (const format of ["json", "combined"] as const) {
  bench(`log: a ${format} line`, () => {
    accessLine(settled, 1_790_000_000_000, { format, query: true });
  });
}

const kilobyte = new Uint8Array(1024);

bench("send: a small upload that is here as a stream", () => {
  streamOf(kilobyte);
});
