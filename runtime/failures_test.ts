import assert from "node:assert/strict";
import { bunFailure, denoFailure } from "./failures.ts";

type Row = [
  said: string,
  type: string,
  sent: boolean,
  fault?: "client" | "proxy",
];

// What Deno 2.9.6 was seen to say, as the message of the cause.
const DENO: Row[] = [
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
    "client error (Connect): received corrupt message of type InvalidContentType",
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
    "client error (Connect): tcp connect error: Connection timed out",
    "connection_timeout",
    false,
  ],
  [
    "client error (Connect): tcp connect error: Too many open files (os error 24)",
    "proxy_internal_error",
    false,
    "proxy",
  ],
  ["client error (Connect): something new", "connection_refused", false],
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
  [
    "client error (SendRequest): message head is too large",
    "http_protocol_error",
    true,
  ],
  [
    "unexpected EOF while reading HTTP/1 body",
    "http_request_error",
    true,
    "client",
  ],
  [
    "Cannot read request body as underlying resource unavailable",
    "http_request_error",
    true,
    "client",
  ],
];

for (const [said, type, sent, fault = "backend"] of DENO) {
  Deno.test(`denoFailure() reads "${said}"`, () => {
    const error = new TypeError("fetch failed", { cause: new Error(said) });
    const failure = denoFailure(error);
    assert.deepEqual(
      [failure.type, failure.sent, failure.fault],
      [type, sent, fault],
    );
    // It goes into the log: a few words, and none of the backend's.
    assert.match(failure.reason, /^[\w ,']{5,60}$/);
  });
}

Deno.test("denoFailure() reads a blocked port and a missing permission", () => {
  for (
    const error of [
      new TypeError("Fetch failed: Requests to port 6000 are blocked"),
      new Error('Requires net access to "10.0.0.1:3000"'),
    ]
  ) {
    const { sent, fault } = denoFailure(error);
    assert.deepEqual([sent, fault], [false, "proxy"]);
  }
});

// The codes of Bun 1.4.5.
const BUN: Row[] = [
  ["ECONNREFUSED", "connection_refused", false],
  ["ENOENT", "connection_refused", false],
  ["ENOTFOUND", "dns_error", false],
  ["EHOSTUNREACH", "destination_ip_unroutable", false],
  ["ETIMEDOUT", "connection_timeout", false],
  ["EMFILE", "proxy_internal_error", false, "proxy"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "tls_certificate_error", false],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "tls_certificate_error", false],
  ["CERT_HAS_EXPIRED", "tls_certificate_error", false],
  ["EPROTO", "tls_protocol_error", false],
  ["ECONNRESET", "connection_terminated", true],
  ["Malformed_HTTP_Response", "http_protocol_error", true],
  ["InvalidContentLength", "http_protocol_error", true],
  ["InvalidHTTPResponse", "http_protocol_error", true],
  ["UnrequestedUpgrade", "http_protocol_error", true],
];

for (const [code, type, sent, fault = "backend"] of BUN) {
  Deno.test(`bunFailure() reads ${code}`, () => {
    const failure = bunFailure(Object.assign(new TypeError("x"), { code }));
    assert.deepEqual(
      [failure.type, failure.sent, failure.fault],
      [type, sent, fault],
    );
  });
}

Deno.test("what neither runtime says counts as sent, and is the backend's", () => {
  for (const read of [denoFailure, bunFailure]) {
    for (const error of [new RangeError("odd"), {}, "text"]) {
      const { type, sent, fault } = read(error);
      assert.deepEqual(
        [type, sent, fault],
        ["connection_terminated", true, "backend"],
      );
    }
  }
});
