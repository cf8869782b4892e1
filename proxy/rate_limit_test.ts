import assert from "node:assert/strict"; // built in to both runtimes
import { RateLimiter, type RateLimiterOptions } from "./rate_limit.ts";

function limiter(key?: RateLimiterOptions["key"]) {
  const lines: string[] = [];
  const rates = new RateLimiter({
    requests: 2,
    perMs: 60_000,
    key,
    clientAddress: (_headers, peer) => peer ?? "-",
    log: (line) => lines.push(line),
  });
  return { rates, lines };
}

const request = new Request("http://site.test/", {
  headers: { "x-api-key": "k1" },
});

function asked(request: Request, peer: string | null = "10.0.0.1", at = 0) {
  return { request, fields: request.headers, peer, at };
}

Deno.test("RateLimiter.refusal() has Retry-After in whole seconds", () => {
  const { rates } = limiter();
  const ask = (at: number) => rates.refusal(asked(request, "10.0.0.1", at));
  assert.equal(ask(0), undefined);
  assert.equal(ask(0), undefined);
  const refusal = ask(1);
  assert.equal(refusal?.status, 429);
  assert.equal(refusal.type, "http_request_denied");
  // 29,999 ms to the next token.
  assert.deepEqual(refusal.fields, { "retry-after": "30" });
  assert.deepEqual(ask(29_900)?.fields, { "retry-after": "1" });
  assert.equal(ask(30_000), undefined);
  assert.equal(rates.refused, 2);
});

Deno.test("RateLimiter.refusal() admits requests made in code", () => {
  const { rates } = limiter();
  for (let i = 0; i < 10; i++) {
    assert.equal(rates.refusal(asked(request, null)), undefined);
  }
});

Deno.test("RateLimiter.refusal() uses a custom key", () => {
  const { rates } = limiter((request, { clientAddress }) => {
    assert.equal(clientAddress, "10.0.0.1");
    return request.headers.get("x-api-key") ?? undefined;
  });
  const of = (key: string | undefined) =>
    rates.refusal(asked(
      new Request("http://site.test/", {
        headers: key === undefined ? {} : { "x-api-key": key },
      }),
    ));
  for (let i = 0; i < 2; i++) assert.equal(of("a"), undefined);
  assert.equal(of("a")?.status, 429);
  assert.equal(of("b"), undefined);
  // Without a key there is no limit; an empty one is a key.
  for (let i = 0; i < 10; i++) assert.equal(of(undefined), undefined);
  for (let i = 0; i < 2; i++) assert.equal(of(""), undefined);
  assert.equal(of("")?.status, 429);
});

Deno.test("RateLimiter.refusal() charges a key that throws to its own request", () => {
  // The user's function runs inside the handler: what it throws would otherwise
  // reject the handler's promise, and end the program.
  const { rates, lines } = limiter(() => {
    throw new Error("no such table");
  });
  assert.equal(rates.refusal(asked(request))?.status, 500);
  assert.equal(rates.refusal(asked(request))?.status, 500);
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /^rateLimit\.key has failed: .*no such table/);
  const odd = limiter((() => 5) as unknown as RateLimiterOptions["key"]);
  assert.equal(odd.rates.refusal(asked(request))?.status, 500);
  assert.equal(odd.rates.refused, 0);
});
