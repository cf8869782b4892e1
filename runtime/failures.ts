/**
 * What a failed `fetch` means, by what each runtime was measured to say. Unsure
 * means sent: only what happens before a connection stands is certain.
 *
 * @module
 */

import type { ProbeResult } from "../health.ts";
import type { Failure } from "../proxy/transport.ts";
import type { ErrorType } from "../proxy/errors.ts";
import { outOfDescriptors } from "./descriptors.ts";

/** One row: what is looked for, and what it means. */
interface Row {
  match: RegExp;
  type: ErrorType;
  sent: boolean;
  fault?: Failure["fault"];
  status?: number;
  reason: string;
}

/**
 * What may be wrong with a backend's certificate: the words of Deno's own TLS,
 * and the code of OpenSSL, which Bun and `node:tls` have. An operator who knows
 * which it is need not look for it; a client is told none of it.
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
      // The latter when another authority has the same name.
      deno: /peer certificate: (?:UnknownIssuer|BadSignature)/,
      code:
        /^(?:UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT(?:_LOCALLY)?|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|CERT_SIGNATURE_FAILURE)$/,
      reason: "its certificate is of an unknown authority",
    },
    {
      deno: /peer certificate: .*CaUsedAsEndEntity/,
      // OpenSSL takes such a one.
      code: /^CA_USED_AS_END_ENTITY$/,
      reason: "its certificate is an authority's own (CA:TRUE)",
    },
    {
      deno: /peer certificate: certificate does not allow extended key usage/,
      code: /^INVALID_PURPOSE$/,
      reason: "its certificate is not for servers",
    },
  ];

/**
 * Deno gives no code; the facts are in the message of the cause. Everything
 * with "(Connect)" happened before a byte of the request was written.
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
    // After the handshake in TLS 1.3, where a request may be on its way already.
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
    reason: "this process may not connect there",
  },
  {
    // Origin, base path and target are over 65,534 bytes together, which a head
    // of 64 KB has room for. Three such requests would eject a backend.
    match: /^Invalid URL/,
    type: "http_request_error",
    sent: false,
    fault: "proxy",
    status: 414,
    reason: "the target is too long for fetch",
  },
  {
    // The client's upload ended early, as Deno says it in two ways.
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

/** Neither runtime's words: a function's throw, or a `fetch` handed in. */
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
 * A message without the URL at its beginning. A client has written most of that,
 * and `/(Connect)` in a target would pass for a connection that failed: its POST
 * would be sent to a second backend. No URL has a space in it.
 */
function withoutUrl(text: string): string {
  if (!text.startsWith("error sending request ")) return text;
  const end = text.indexOf(": ");
  return end < 0 ? "" : text.slice(end + 2);
}

/** Reads the cause's message of Deno's `TypeError: fetch failed`. */
export function denoFailure(error: unknown): Failure {
  // Anything may be thrown, and nothing by name.
  const { cause, message, name } = Object(error) as Error;
  const text = cause instanceof Error ? cause.message : message;
  return lookUp(DENO, withoutUrl(`${text ?? ""}`)) ??
    lookUp(DENO, `${name ?? ""}`) ??
    unknown(error);
}

/**
 * Reads an error of a socket, before a connection stands. Bun's are `node:net`'s
 * and `node:tls`'s; Deno's have the same codes, but for TLS, names and permissions,
 * where it has its own words.
 */
export function socketFailure(error: unknown): Failure {
  const { code, message, name } = Object(error) as Error & { code?: unknown };
  const failure = lookUp(BUN, String(code ?? "")) ??
    (name === "NotCapable" ? lookUp(DENO, name) : undefined) ??
    lookUp(DENO, `(Connect) ${message}`) ?? unknown(error);
  return unlessOurs({ ...failure, sent: false });
}

/** Reads the code of an error of Bun's. */
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

/** What a failure means when this process had no descriptor to connect with. */
const STARVED: Failure = {
  type: "proxy_internal_error",
  sent: false,
  fault: "proxy",
  reason: "this process is out of file descriptors",
};

/** A failure to connect, unless there was nothing to connect with. */
function unlessOurs(failure: Failure): Failure {
  return !failure.sent && failure.fault === "backend" && outOfDescriptors()
    ? STARVED
    : failure;
}

/**
 * What a probe's failure says. Where this process had nothing left to ask with,
 * that is nothing; a backend that it may not connect to stays out of reach.
 */
export function probeFailure(failure: Failure): ProbeResult {
  const { reason, type } = failure;
  return failure.fault === "proxy" && type === "proxy_internal_error"
    ? { error: reason, fault: "proxy" }
    : { error: reason };
}
