import assert from "node:assert/strict";
import type { ErrorType } from "../proxy/errors.ts";
import { bunFailure, denoFailure } from "./failures.ts";

/** Deno's `TypeError: fetch failed`, with the message of its cause. */
function deno(cause: string): Error {
  return new TypeError("fetch failed", { cause: new Error(cause) });
}

/** An error of Bun's. */
function bun(code: string): Error {
  return Object.assign(new Error("Unable to connect"), { code });
}

/** What each was measured to say, and what it means. */
const DENO: readonly [string, ErrorType, boolean][] = [
  [
    "client error (Connect): tcp connect error: Connection refused (os error 111)",
    "connection_refused",
    false,
  ],
  [
    "client error (Connect): dns error: failed to lookup address information",
    "dns_error",
    false,
  ],
  [
    "client error (Connect): invalid peer certificate: UnknownIssuer",
    "tls_certificate_error",
    false,
  ],
  [
    "client error (Connect): certificate not valid for name",
    "tls_certificate_error",
    false,
  ],
  [
    "client error (Connect): received corrupt message",
    "tls_protocol_error",
    false,
  ],
  [
    "client error (Connect): No such file or directory (os error 2)",
    "connection_refused",
    false,
  ],
  [
    "client error (Connect): tcp connect error: No route to host (os error 113)",
    "destination_ip_unroutable",
    false,
  ],
  [
    "client error (Connect): tcp connect error: Connection timed out (os error 110)",
    "connection_timeout",
    false,
  ],
  ["Connection reset by peer (os error 104)", "connection_terminated", true],
  [
    "client error (SendRequest): connection closed before message completed",
    "connection_terminated",
    true,
  ],
  [
    "client error (SendRequest): invalid HTTP version parsed",
    "http_protocol_error",
    true,
  ],
  ["something nobody has seen yet", "connection_terminated", true],
];

for (const [message, type, sent] of DENO) {
  Deno.test(`denoFailure() reads "${message.slice(0, 60)}" as ${type}`, () => {
    const failure = denoFailure(deno(message));
    assert.equal(failure.type, type);
    assert.equal(failure.sent, sent);
    assert.equal(failure.fault, "backend");
  });
}

const BUN: readonly [string, ErrorType, boolean][] = [
  ["ECONNREFUSED", "connection_refused", false],
  ["ENOENT", "connection_refused", false],
  ["ENOTFOUND", "dns_error", false],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "tls_certificate_error", false],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "tls_certificate_error", false],
  ["CERT_HAS_EXPIRED", "tls_certificate_error", false],
  ["EPROTO", "tls_protocol_error", false],
  ["ECONNRESET", "connection_terminated", true],
  ["Malformed_HTTP_Response", "http_protocol_error", true],
  ["InvalidContentLength", "http_protocol_error", true],
  ["SomethingNew", "connection_terminated", true],
];

for (const [code, type, sent] of BUN) {
  Deno.test(`bunFailure() reads ${code} as ${type}`, () => {
    const failure = bunFailure(bun(code));
    assert.equal(failure.type, type);
    assert.equal(failure.sent, sent);
    assert.equal(failure.fault, "backend");
  });
}

// A target of a size that fits a head made `fetch` throw, and three of them, of
// any client's, ejected a backend.
Deno.test("denoFailure() blames no backend for a target that is too long", () => {
  const failure = denoFailure(
    new TypeError(`Invalid URL http://127.0.0.1:1/${"a".repeat(65_535)}`),
  );
  assert.equal(failure.fault, "proxy");
  assert.equal(failure.status, 414);
  assert.equal(failure.sent, false);
});

Deno.test("denoFailure() blames the client for an upload that it cut", () => {
  for (
    const message of [
      "unexpected EOF while reading HTTP/1 body",
      "Cannot read request body as underlying resource unavailable",
    ]
  ) {
    const failure = denoFailure(deno(message));
    assert.deepEqual([failure.fault, failure.sent], ["client", true]);
  }
});

Deno.test("a process without descriptors blames nobody, and nothing was sent", () => {
  const failures = [
    denoFailure(
      deno(
        "client error (Connect): tcp open error: Too many open files (os error 24)",
      ),
    ),
    bunFailure(bun("EMFILE")),
  ];
  for (const { fault, sent } of failures) {
    assert.deepEqual([fault, sent], ["proxy", false]);
  }
});

Deno.test("what is not an error at all counts as sent", () => {
  for (const read of [denoFailure, bunFailure]) {
    for (const thrown of [new Error("x"), "text", 7, {}]) {
      const { sent, type } = read(thrown);
      assert.deepEqual([sent, type], [true, "connection_terminated"]);
    }
    for (const thrown of [undefined, null]) {
      const { sent, type } = read(thrown);
      assert.deepEqual([sent, type], [true, "connection_terminated"]);
    }
  }
});
