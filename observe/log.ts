/**
 * The access log: one line per request, safe whatever bytes it contains.
 *
 * Each part of a line is chosen by name, never a copy of the request:
 * credentials and cookies are not included. Pure; the caller writes the line.
 *
 * @module
 */

import type { Settled } from "../proxy/observed.ts";

/** The format of a line. */
export type LogFormat = "json" | "combined";

/** Options for {@linkcode accessLine}. */
export interface AccessLineOptions {
  /** The format. */
  format: LogFormat;
  /** Whether to include queries. */
  query: boolean;
}

/** A finished request, with the fields of a JSON access log line. */
export interface RequestRecord {
  /** Arrival of the request, as ISO 8601 in UTC. */
  readonly time: string;
  /** The client's address, or `-`. */
  readonly client: string;
  /** The method as sent by the client. */
  readonly method: string;
  /**
   * Path and query as sent by the client; without the query if `logQuery` is
   * off. For a refused request it may be a whole URL.
   */
  readonly target: string;
  /** Status of the response; 499 if the client disconnected before its end. */
  readonly status: number;
  /** Bytes of the response body that were passed to the client. */
  readonly bytes: number;
  /** Milliseconds from the request to the end of its response. */
  readonly durationMs: number;
  /** Name or URL of the backend that answered; `null` if none did. */
  readonly backend: string | null;
  /** The attempts, in order. */
  readonly attempts: readonly AttemptRecord[];
  /** The request's id, if `requestId` is on. */
  readonly requestId?: string;
  /** Id of its trace, if `trace` is on. */
  readonly traceId?: string;
}

/** One attempt of a {@linkcode RequestRecord}. */
export interface AttemptRecord {
  /** Name or URL of the backend. */
  readonly backend: string;
  /** Milliseconds to its response header or failure. */
  readonly durationMs: number;
  /** The status as text, or the reason of the failure. */
  readonly outcome: string;
  /** Id of its span, if `trace` is on. */
  readonly spanId?: string;
}

/** The record of a finished request; `now` in milliseconds since 1970. */
export function recordOf(
  settled: Settled,
  now: number,
  query: boolean,
): RequestRecord {
  const { client, method, status, bytes, ms, requestId, traceId } = settled;
  return {
    time: new Date(now - ms).toISOString(),
    client,
    method,
    target: targetOf(settled.target, query),
    status,
    bytes,
    durationMs: rounded(ms),
    backend: settled.backend?.label ?? null,
    attempts: settled.attempts.map(({ backend, ms, outcome, spanId }) => ({
      backend: backend.label,
      durationMs: rounded(ms),
      outcome,
      ...(spanId === undefined ? {} : { spanId }),
    })),
    ...(requestId === undefined ? {} : { requestId }),
    ...(traceId === undefined ? {} : { traceId }),
  };
}

/**
 * Maximum characters of a target or referer, and of any other field. Collectors
 * cut long lines (Docker at 16 KB), and a cut line is not valid JSON.
 */
const MAX_URL = 4096;
const MAX_LENGTH = 256;

/** The line for a finished request; `now` in milliseconds since 1970. */
export function accessLine(
  settled: Settled,
  now: number,
  { format, query }: AccessLineOptions,
): string {
  const at = now - settled.ms;
  const target = targetOf(settled.target, query);
  return format === "json"
    ? jsonLine(settled, at, target)
    : combinedLine(settled, at, target, query);
}

/** Concatenated by hand: `JSON.stringify` takes five times as long. */
function jsonLine(settled: Settled, at: number, target: string): string {
  const { backend, attempts, requestId, traceId } = settled;
  let line = `{"time":"${new Date(at).toISOString()}"` +
    `,"client":${json(settled.client)},"method":${json(settled.method)}` +
    `,"target":${json(target, MAX_URL)},"status":${settled.status}` +
    `,"bytes":${settled.bytes},"durationMs":${rounded(settled.ms)}` +
    `,"backend":${backend === undefined ? "null" : json(backend.label)}` +
    ',"attempts":[';
  for (let i = 0; i < attempts.length; i++) {
    const { backend, ms, outcome, spanId } = attempts[i]!;
    line += `${i === 0 ? "" : ","}{"backend":${json(backend.label)}` +
      `,"durationMs":${rounded(ms)},"outcome":${json(outcome)}` +
      (spanId === undefined ? "}" : `,"spanId":"${spanId}"}`);
  }
  line += "]";
  if (requestId !== undefined) line += `,"requestId":${json(requestId)}`;
  if (traceId !== undefined) line += `,"traceId":"${traceId}"`;
  return `${line}}`;
}

/** Text that needs no escaping in quotes, as almost all does. */
const PLAIN = /^[ !#-\[\]-~]*$/;

/** A text as JSON. */
function json(text: string, max = MAX_LENGTH): string {
  const kept = cut(text, max);
  if (PLAIN.test(kept)) return `"${kept}"`;
  // JSON allows these unescaped, but some readers take them as line breaks.
  return JSON.stringify(kept).replace(
    /[\x7f-\x9f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Apache's "combined" format without additions, since programs parse it. The
 * user is unknown (`Authorization` is not read), and the runtimes do not expose
 * the HTTP version.
 */
function combinedLine(
  { client, method, status, bytes, request }: Settled,
  at: number,
  target: string,
  query: boolean,
): string {
  const { headers } = request;
  const referer = targetOf(headers.get("referer") ?? "-", query);
  const agent = headers.get("user-agent") || "-";
  return `${bare(client)} - - [${apacheTime(at)}] ` +
    `"${quoted(method)} ${
      quoted(target, MAX_URL)
    } HTTP/1.1" ${status} ${bytes} ` +
    `"${quoted(referer, MAX_URL)}" "${quoted(agent)}"`;
}

/** A target or a URL, cleaned for the log. */
function targetOf(text: string, query: boolean): string {
  // A refused request may contain a whole URL with a password.
  const target = text.replace(/^([a-z][a-z\d+.-]*:\/\/)[^/?#]*@/i, "$1");
  if (query) return target;
  const at = target.search(/[?#]/);
  return at < 0 ? target : target.slice(0, at);
}

function cut(text: string, max = MAX_LENGTH): string {
  return text.length <= max ? text : `${text.slice(0, max)}…`;
}

/** Milliseconds, rounded to microseconds. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** A text for quotes: escapes what could end them or the line. */
function quoted(text: string, max = MAX_LENGTH): string {
  const kept = cut(text, max);
  if (PLAIN.test(kept)) return kept;
  return kept.replace(
    // deno-lint-ignore no-control-regex -- these are what it escapes
    /["\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]/gu,
    (char) => {
      if (char === '"' || char === "\\") return `\\${char}`;
      const code = char.charCodeAt(0);
      return code < 256
        ? `\\x${code.toString(16).padStart(2, "0")}`
        : `\\u${code.toString(16)}`;
    },
  );
}

/** A text without quotes, in which a space would start another field. */
function bare(text: string): string {
  return quoted(text).replace(/\s/g, "?") || "-";
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** `10/Oct/2000:13:55:36 +0000`, always in UTC. */
function apacheTime(at: number): string {
  const iso = new Date(at).toISOString();
  const month = MONTHS[Number(iso.slice(5, 7)) - 1];
  return `${iso.slice(8, 10)}/${month}/${iso.slice(0, 4)}:` +
    `${iso.slice(11, 19)} +0000`;
}
