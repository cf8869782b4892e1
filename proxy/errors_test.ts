import assert from "node:assert/strict";
import { answer, type ErrorType, STATUS } from "./errors.ts";

// RFC 9209 §2.3, "Recommended HTTP status code". Some are the nearest there is.
const RECOMMENDED: Partial<Record<ErrorType, number>> = {
  destination_unavailable: 503,
  connection_refused: 502,
  connection_terminated: 502,
  connection_timeout: 504,
  connection_limit_reached: 503,
  dns_error: 502,
  destination_ip_unroutable: 502,
  tls_protocol_error: 502,
  tls_certificate_error: 502,
  http_response_incomplete: 502,
  http_response_timeout: 504,
  http_protocol_error: 502,
  http_request_denied: 403,
  proxy_internal_error: 500,
};

for (const [type, status] of Object.entries(RECOMMENDED)) {
  Deno.test(`STATUS has ${status} for ${type}, as RFC 9209 recommends`, () => {
    assert.equal(STATUS[type as ErrorType], status);
  });
}

Deno.test("answer() is short plain text with its Proxy-Status", async () => {
  const response = answer(502, "connection_refused");
  assert.equal(response.status, 502);
  assert.equal(
    response.headers.get("proxy-status"),
    "sluice; error=connection_refused",
  );
  assert.equal(
    response.headers.get("content-type"),
    "text/plain; charset=utf-8",
  );
  assert.equal(response.headers.get("cache-control"), "no-store");
  const text = await response.text();
  assert.match(text, /^Bad gateway: [^\n]+\n$/);
  assert.equal(Number(response.headers.get("content-length")), text.length);
});

Deno.test("answer() takes a sentence and further fields", async () => {
  const response = answer(503, "connection_limit_reached", {
    sentence: "Too much.",
    fields: { "retry-after": "1" },
  });
  assert.equal(response.headers.get("retry-after"), "1");
  assert.equal(await response.text(), "Too much.\n");
});

Deno.test("answer() to HEAD has the length and no body", async () => {
  const head = answer(504, "http_response_timeout", { head: true });
  const get = answer(504, "http_response_timeout");
  assert.equal(head.body, null);
  assert.equal(
    head.headers.get("content-length"),
    get.headers.get("content-length"),
  );
  await get.text();
});

Deno.test("answer() has a sentence for every status of its own", async () => {
  for (
    const status of [400, 403, 405, 408, 413, 500, 501, 502, 503, 504, 508]
  ) {
    const text = await answer(status, "http_request_error").text();
    assert.notEqual(text, "Error.\n", String(status));
  }
});
