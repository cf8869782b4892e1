/**
 * Errors by the types of RFC 9209, and the answers that Sluice gives itself.
 *
 * @module
 */

/** An error type of RFC 9209 §2.3. */
export type ErrorType =
  | "destination_unavailable"
  | "connection_limit_reached"
  | "connection_refused"
  | "connection_terminated"
  | "connection_timeout"
  | "dns_error"
  | "destination_ip_unroutable"
  | "tls_protocol_error"
  | "tls_certificate_error"
  | "http_response_incomplete"
  | "http_response_timeout"
  | "http_protocol_error"
  | "http_request_error"
  | "http_request_denied"
  | "proxy_loop_detected"
  | "proxy_internal_error";

/**
 * The status of each error type, as recommended by RFC 9209 §2.3. The last
 * group has no type of its own there and uses the nearest, see
 * {@linkcode answer}.
 */
export const STATUS: Readonly<Record<ErrorType, number>> = {
  destination_unavailable: 503,
  connection_limit_reached: 503,
  connection_refused: 502,
  connection_terminated: 502,
  connection_timeout: 504,
  dns_error: 502,
  destination_ip_unroutable: 502,
  tls_protocol_error: 502,
  tls_certificate_error: 502,
  http_response_incomplete: 502,
  http_response_timeout: 504,
  http_protocol_error: 502,
  http_request_error: 400,
  http_request_denied: 403,
  proxy_loop_detected: 508,
  proxy_internal_error: 500,
};

/**
 * Sentences for the statuses that Sluice answers with. They reveal no backend,
 * no file and no state, which would help an attacker.
 */
const SENTENCES: Readonly<Record<number, string>> = {
  400: "Bad request: the request is malformed.",
  403: "Forbidden.",
  405: "Method not allowed.",
  408: "Request timeout: the request did not arrive in time.",
  413: "Content too large: the request body is over the limit.",
  414: "URI too long: the target is longer than can be forwarded.",
  417: "Expectation failed.",
  429: "Too many requests: try again later.",
  499: "Client closed request.",
  500: "Internal error.",
  501: "Not implemented: this method or coding is not forwarded.",
  502: "Bad gateway: the backend gave no valid answer.",
  503: "Service unavailable: no backend is available now.",
  504: "Gateway timeout: the backend did not answer in time.",
  508: "Loop detected: this request has already passed this proxy.",
};

/** The default sentence of a status. */
export function sentenceOf(status: number): string {
  return SENTENCES[status] ?? "Error.";
}

/** Options of an {@linkcode answer}. */
export interface AnswerOptions {
  /** What was wrong, if it can be said without revealing internals. */
  sentence?: string | undefined;
  /** Further fields. */
  fields?: Readonly<Record<string, string>>;
  /** Whether the request was a HEAD, whose answer has no body. */
  head?: boolean;
}

/**
 * An answer of Sluice's own: a short plain text, and a `Proxy-Status` with the
 * reason (RFC 9209 §2).
 */
export function answer(
  status: number,
  type: ErrorType,
  { sentence, fields, head = false }: AnswerOptions = {},
): Response {
  const text = `${sentence ?? sentenceOf(status)}\n`;
  return new Response(head ? null : text, {
    status,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "content-length": String(text.length),
      // A cache must not keep the error beyond the outage.
      "cache-control": "no-store",
      "proxy-status": `sluice; error=${type}`,
      ...fields,
    },
  });
}
