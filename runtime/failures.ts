/**
 * What a failed `fetch` means, by what each runtime was measured to say. Unsure
 * means sent: only what happens before a connection stands is certain.
 *
 * @module
 */

import type { Failure } from "../proxy/transport.ts";
import type { ErrorType } from "../proxy/errors.ts";

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
    match: /\(Connect\).*dns error/i,
    type: "dns_error",
    sent: false,
    reason: "its name does not resolve",
  },
  {
    match: /\(Connect\).*certificate/i,
    type: "tls_certificate_error",
    sent: false,
    reason: "its certificate is not accepted",
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

/** Reads the cause's message of Deno's `TypeError: fetch failed`. */
export function denoFailure(error: unknown): Failure {
  // Anything may be thrown, and nothing by name.
  const { cause, message, name } = Object(error) as Error;
  const text = cause instanceof Error ? cause.message : message;
  return lookUp(DENO, `${text ?? ""}`) ?? lookUp(DENO, `${name ?? ""}`) ??
    unknown(error);
}

/**
 * Reads an error of `node:net` or `node:tls`, before a connection stands. Bun has
 * Node's codes; Deno has them too, but for TLS, where it has its own words.
 */
export function socketFailure(error: unknown): Failure {
  const { code, message } = error as { code?: unknown; message?: unknown };
  const failure = lookUp(BUN, String(code ?? "")) ??
    lookUp(DENO, `(Connect) ${message}`) ?? unknown(error);
  return { ...failure, sent: false };
}

/** Reads the code of an error of Bun's. */
export function bunFailure(error: unknown): Failure {
  const { code, name } = Object(error) as { code?: unknown; name?: unknown };
  return lookUp(BUN, String(code ?? name ?? "")) ?? unknown(error);
}
