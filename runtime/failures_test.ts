import assert from "node:assert/strict";
import type { ErrorType } from "../proxy/errors.ts";
import { outOfDescriptors } from "./descriptors.ts";
import {
  bunFailure,
  denoFailure,
  probeFailure,
  socketFailure,
} from "./failures.ts";

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
  ["an unknown message", "connection_terminated", true],
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

Deno.test("a process without descriptors blames no backend, and nothing was sent", () => {
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

Deno.test("a failure to connect is the backend's while there are descriptors", () => {
  // Without any, a name "is not found" and Bun's sockets are "refused"; what the
  // process has left is asked for then (e2e/descriptors_test.ts has it so).
  assert.equal(outOfDescriptors(), false);
  for (const code of ["ECONNREFUSED", "ENOTFOUND"]) {
    assert.equal(bunFailure(bun(code)).fault, "backend");
    assert.equal(socketFailure(bun(code)).fault, "backend");
  }
});

Deno.test("probeFailure() tells only what this process lacks from a failure", () => {
  assert.deepEqual(probeFailure(bunFailure(bun("EMFILE"))), {
    error: "this process is out of file descriptors",
    fault: "proxy",
  });
  // It may not connect there, today or tomorrow: that backend is of no use.
  const denied = denoFailure(deno('Requires net access to "a:1"'));
  assert.equal(denied.fault, "proxy");
  assert.deepEqual(Object.keys(probeFailure(denied)), ["error"]);
  assert.deepEqual(probeFailure(bunFailure(bun("ECONNREFUSED"))), {
    error: "connection refused",
  });
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

// "Its certificate is not accepted" was all that was said, and the reasons are
// mended in different places.
Deno.test("denoFailure(), bunFailure() and socketFailure() tell certificates apart", () => {
  const cases: [deno: string, code: string, reason: string][] = [
    [
      'certificate not valid for name "a.test"; certificate is only valid for DnsName("Expired.test")',
      "ERR_TLS_CERT_ALTNAME_INVALID",
      "its certificate is for another name",
    ],
    ["Expired", "CERT_HAS_EXPIRED", "its certificate has expired"],
    [
      "certificate expired: verification time 1764120000 (UNIX)",
      "CERT_HAS_EXPIRED",
      "its certificate has expired",
    ],
    ["NotValidYet", "CERT_NOT_YET_VALID", "its certificate is not valid yet"],
    [
      "UnknownIssuer",
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "its certificate is from an unknown authority",
    ],
    [
      "UnknownIssuer",
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "its certificate is from an unknown authority",
    ],
    [
      "certificate does not allow extended key usage for server authentication",
      "INVALID_PURPOSE",
      "its certificate is not for servers",
    ],
    [
      "BadEncoding",
      "CERT_REJECTED",
      "its certificate is not accepted",
    ],
  ];
  for (const [words, code, reason] of cases) {
    const failures = [
      denoFailure(deno(
        "error sending request for url (https://a.test/): client error (Connect): " +
          `invalid peer certificate: ${words}`,
      )),
      bunFailure(bun(code)),
      socketFailure(Object.assign(new Error("x"), { code })),
      socketFailure(new Error(`invalid peer certificate: ${words}`)),
    ];
    for (const failure of failures) {
      assert.deepEqual(failure, {
        type: "tls_certificate_error",
        sent: false,
        fault: "backend",
        reason,
      });
    }
  }
  const own = denoFailure(deno(
    "error sending request for url (https://a.test/): client error (Connect): " +
      "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))",
  ));
  assert.equal(own.reason, "its certificate is a CA certificate (CA:TRUE)");
  for (
    const failure of [
      denoFailure(deno("received fatal alert: CertificateRequired")),
      socketFailure(
        Object.assign(new Error("x"), {
          code: "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
        }),
      ),
    ]
  ) assert.equal(failure.reason, "it wants a client certificate");
});

// A target with "(Connect)" in it passed for a connection that had failed, so a
// POST that a backend had received was sent to a second one.
Deno.test("denoFailure() reads nothing that a client has written", () => {
  const targets = [
    "(Connect)",
    "(Connect)certificate",
    "x):(Connect)",
    "NotCapable",
    "a-b/reading%20HTTP/1%20body",
    "BadResource",
    "too%20many%20open%20files",
  ];
  const beginnings = targets.flatMap((target) => [
    `error sending request for url (http://a.test/${target}): `,
    `error sending request from 127.0.0.1:1 for http://[::1]/${target} ([::1]:80): `,
  ]);
  for (const beginning of beginnings) {
    const failure = denoFailure(deno(
      `${beginning}client error (SendRequest): connection closed before message completed`,
    ));
    assert.deepEqual(failure, {
      type: "connection_terminated",
      sent: true,
      fault: "backend",
      reason: "the connection was closed before the answer",
    });
  }
});
