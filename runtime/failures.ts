/**
 * Classifies the errors of `fetch` and sockets, by messages measured on each
 * runtime. In doubt, a request counts as sent: only errors before the
 * connection is established are certain.
 *
 * @module
 */

import type { ProbeResult } from "../health.ts";
import type { Failure } from "../proxy/transport.ts";
import type { ErrorType } from "../proxy/errors.ts";
import { outOfDescriptors } from "./descriptors.ts";

/** One row: a pattern, and its meaning. */
interface Row {
  match: RegExp;
  type: ErrorType;
  sent: boolean;
  fault?: Failure["fault"];
  status?: number;
  reason: string;
}

/**
 * What may be wrong with a backend's certificate: the messages of Deno's TLS,
 * and the codes of OpenSSL, which Bun and `node:tls` use. This is for the
 * operator; clients are not told.
 */
const CERTIFICATES: readonly { deno: RegExp; code: RegExp; reason: string }[] =
  [
    {
      deno: /peer certificate: certificate not valid for name/,
      code: /^ERR_TLS_CERT_ALTNAME_INVALID$/,
      reason: "its certificate is for another name",
    },
    {
      deno: /peer certificate: (?:certificate )?expired/i,
      code: /^CERT_HAS_EXPIRED$/,
      reason: "its certificate has expired",
    },
    {
      deno: /peer certificate: (?:certificate )?not ?valid ?yet/i,
      code: /^CERT_NOT_YET_VALID$/,
      reason: "its certificate is not valid yet",
    },
    {
      // BadSignature: another authority has the same name.
      deno: /peer certificate: (?:UnknownIssuer|BadSignature)/,
      code:
        /^(?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(?:_LOCALLY)?|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|CERT_SIGNATURE_FAILURE)$/,
      reason: "its certificate is from an unknown authority",
    },
    {
      deno: /peer certificate: .*CaUsedAsEndEntity/,
      // OpenSSL accepts such a certificate.
      code: /^CA_USED_AS_END_ENTITY$/,
      reason: "its certificate is a CA certificate (CA:TRUE)",
    },
    {
      deno: /peer certificate: certificate does not allow extended key usage/,
      code: /^INVALID_PURPOSE$/,
      reason: "its certificate is not for servers",
    },
  ];

/**
 * Deno has no codes; the facts are in the message of the cause. Messages with
 * "(Connect)" are from before any byte of the request was written.
 */
const DENO: readonly Row[] = [
  {
    match: /too many open files/i,
    type: "proxy_internal_error",
    sent: false,
    fault: "proxy",
    reason: "this process is out of file descriptors",
  },
  {
    match: /\(Connect\).*(?:dns error|failed to lookup)/i,
    type: "dns_error",
    sent: false,
    reason: "its name does not resolve",
  },
  ...CERTIFICATES.map(({ deno, reason }): Row => ({
    match: deno,
    type: "tls_certificate_error",
    sent: false,
    reason,
  })),
  {
    match: /\(Connect\).*certificate/i,
    type: "tls_certificate_error",
    sent: false,
    reason: "its certificate is not accepted",
  },
  {
    // In TLS 1.3 this follows the handshake, when a request may have been sent.
    match: /fatal alert: CertificateRequired/,
    type: "tls_protocol_error",
    sent: true,
    reason: "it wants a client certificate",
  },
  {
    match: /\(Connect\).*(?:unreachable|no route)/i,
    type: "destination_ip_unroutable",
    sent: false,
    reason: "no route",
  },
  {
    match: /\(Connect\).*timed out/i,
    type: "connection_timeout",
    sent: false,
    reason: "the connection timed out",
  },
  {
    match: /\(Connect\).*(?:refused|no such file|reset)/i,
    type: "connection_refused",
    sent: false,
    reason: "connection refused",
  },
  {
    match: /\(Connect\).*(?:corrupt|tls|handshake|alert|eof)/i,
    type: "tls_protocol_error",
    sent: false,
    reason: "the TLS handshake failed",
  },
  {
    match: /\(Connect\)/,
    type: "connection_refused",
    sent: false,
    reason: "no connection",
  },
  {
    match: /^Requires |NotCapable|are blocked/,
    type: "destination_unavailable",
    sent: false,
    fault: "proxy",
    reason: "this process is not allowed to connect there",
  },
  {
    // Origin, base path and target have over 65,534 bytes together, which fits
    // into a head of 64 KB. Three such requests would otherwise eject a
    // backend.
    match: /^Invalid URL/,
    type: "http_request_error",
    sent: false,
    fault: "proxy",
    status: 414,
    reason: "the target is too long for fetch",
  },
  {
    // The client's upload ended early; Deno has several messages for that.
    match:
      /reading HTTP\/1 body|underlying resource unavailable|error reading a body|BadResource/i,
    type: "http_request_error",
    sent: true,
    fault: "client",
    reason: "the client cut its upload",
  },
  {
    match:
      /reset by peer|broken pipe|closed before|connection (?:was )?closed/i,
    type: "connection_terminated",
    sent: true,
    reason: "the connection was closed before the answer",
  },
  {
    match: /parsed|parse|too large|invalid|message head/i,
    type: "http_protocol_error",
    sent: true,
    reason: "the answer was not valid HTTP",
  },
];

/** Bun's codes. */
const BUN: readonly Row[] = [
  {
    match: /^(?:EMFILE|ENFILE)$/,
    type: "proxy_internal_error",
    sent: false,
    fault: "proxy",
    reason: "this process is out of file descriptors",
  },
  {
    match: /^(?:ECONNREFUSED|ConnectionRefused|ENOENT|FailedToOpenSocket)$/,
    type: "connection_refused",
    sent: false,
    reason: "connection refused",
  },
  {
    match: /^(?:ENOTFOUND|EAI_\w+|DNS\w*)$/,
    type: "dns_error",
    sent: false,
    reason: "its name does not resolve",
  },
  {
    match: /^(?:EHOSTUNREACH|ENETUNREACH)$/,
    type: "destination_ip_unroutable",
    sent: false,
    reason: "no route",
  },
  {
    match: /^(?:ETIMEDOUT|ConnectionTimeout)$/,
    type: "connection_timeout",
    sent: false,
    reason: "the connection timed out",
  },
  {
    match: /ALERT_CERTIFICATE_REQUIRED$/,
    type: "tls_protocol_error",
    sent: true,
    reason: "it wants a client certificate",
  },
  ...CERTIFICATES.map(({ code, reason }): Row => ({
    match: code,
    type: "tls_certificate_error",
    sent: false,
    reason,
  })),
  {
    match: /CERT|ISSUER|SELF_SIGNED|VERIFY|LEAF/,
    type: "tls_certificate_error",
    sent: false,
    reason: "its certificate is not accepted",
  },
  {
    match: /^(?:EPROTO|ERR_SSL\w*|ERR_TLS\w*)$/,
    type: "tls_protocol_error",
    sent: false,
    reason: "the TLS handshake failed",
  },
  {
    match: /^(?:ECONNRESET|ConnectionClosed|EPIPE|SocketClosed)$/,
    type: "connection_terminated",
    sent: true,
    reason: "the connection was closed before the answer",
  },
  {
    match:
      /Malformed|InvalidContentLength|InvalidHTTPResponse|UnrequestedUpgrade|Invalid\w*Header|HTTP/,
    type: "http_protocol_error",
    sent: true,
    reason: "the answer was not valid HTTP",
  },
  {
    match: /^(?:TimeoutError|AbortError|23|20)$/,
    type: "connection_terminated",
    sent: true,
    reason: "the attempt was ended",
  },
];

/** Neither runtime's error: a throw of a function backend or custom `fetch`. */
function unknown(error: unknown): Failure {
  return {
    type: "connection_terminated",
    sent: true,
    fault: "backend",
    reason: error instanceof Error ? error.name : typeof error,
  };
}

function lookUp(rows: readonly Row[], text: string): Failure | undefined {
  const row = rows.find(({ match }) => match.test(text));
  return row && {
    type: row.type,
    sent: row.sent,
    fault: row.fault ?? "backend",
    reason: row.reason,
    ...(row.status === undefined ? {} : { status: row.status }),
  };
}

/**
 * A message without the URL at its start. The client controls most of the URL,
 * and `/(Connect)` in a target would look like a failed connection: its POST
 * would be sent to a second backend. A URL has no spaces.
 */
function withoutUrl(text: string): string {
  if (!text.startsWith("error sending request ")) return text;
  const end = text.indexOf(": ");
  return end < 0 ? "" : text.slice(end + 2);
}

/** Classifies Deno's `TypeError: fetch failed` by the message of its cause. */
export function denoFailure(error: unknown): Failure {
  // Any value may be thrown, also `undefined`.
  const { cause, message, name } = Object(error) as Error;
  const text = cause instanceof Error ? cause.message : message;
  return lookUp(DENO, withoutUrl(`${text ?? ""}`)) ??
    lookUp(DENO, `${name ?? ""}`) ??
    unknown(error);
}

/**
 * Classifies an error of a socket before the connection is established. Bun's
 * errors are those of `node:net` and `node:tls`. Deno's have the same codes,
 * but messages of its own for TLS, names and permissions.
 */
export function socketFailure(error: unknown): Failure {
  const { code, message, name } = Object(error) as Error & { code?: unknown };
  const failure = lookUp(BUN, String(code ?? "")) ??
    (name === "NotCapable" ? lookUp(DENO, name) : undefined) ??
    lookUp(DENO, `(Connect) ${message}`) ?? unknown(error);
  return unlessOurs({ ...failure, sent: false });
}

/** Classifies an error of Bun by its code. */
export function bunFailure(error: unknown): Failure {
  const { code, name } = Object(error) as { code?: unknown; name?: unknown };
  return unlessOurs(lookUp(BUN, String(code ?? name ?? "")) ?? unknown(error));
}

/**
 * Reads an error of a platform's `fetch`, which does not say when it happened:
 * workerd calls a refused connection lost too. So anything may have been sent.
 */
export function webFailure(error: unknown): Failure {
  const { message } = Object(error) as { message?: unknown };
  return message === "Network connection lost." ? LOST : unknown(error);
}

const LOST: Failure = {
  type: "connection_terminated",
  sent: true,
  fault: "backend",
  reason: "the connection was refused or lost",
};

/** A failure to connect because this process had no descriptor. */
const OUT_OF_DESCRIPTORS: Failure = {
  type: "proxy_internal_error",
  sent: false,
  fault: "proxy",
  reason: "this process is out of file descriptors",
};

/** Replaces a failure to connect if this process has no descriptor left. */
function unlessOurs(failure: Failure): Failure {
  return !failure.sent && failure.fault === "backend" && outOfDescriptors()
    ? OUT_OF_DESCRIPTORS
    : failure;
}

/**
 * The result of a failed probe. If this process had no descriptor, it says
 * nothing about the backend. A backend that it may not connect to is down.
 */
export function probeFailure(failure: Failure): ProbeResult {
  const { reason, type } = failure;
  return failure.fault === "proxy" && type === "proxy_internal_error"
    ? { error: reason, fault: "proxy" }
    : { error: reason };
}
