// What do the steps that every request takes cost, one by one?

import {
  refuseFraming,
  refuseHost,
  refuseMethod,
  targetOf,
} from "../proxy/guard.ts";
import { RequestRules, responseFields } from "../proxy/headers.ts";
import { decide, RetryBudget } from "../proxy/retry.ts";

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

Deno.bench("guard: method, host, target, framing", () => {
  refuseMethod("GET", () => true);
  refuseHost(HOST);
  targetOf(URL, HOST);
  refuseFraming("GET", null, null);
});

Deno.bench("guard: a target with dot segments", () => {
  targetOf(`http://${HOST}/a/./b/../c?x`, HOST);
});

Deno.bench("rules: request fields", () => {
  rules.fields(request, {
    peer: "192.0.2.1",
    host: HOST,
    scheme: "http",
    backendHost: HOST,
  });
});

Deno.bench("rules: response fields", () => {
  responseFields(response, {
    origin: "http://10.0.0.1:3000",
    basePath: "",
    clientScheme: "http",
    clientHost: HOST,
    added: undefined,
  });
});

const budget = new RetryBudget(0.2);
let now = 0;

Deno.bench("retry: count a request", () => budget.request(now += 0.01));

Deno.bench("retry: decide", () => {
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
