/**
 * The access log: one line a request, whatever bytes are in it.
 *
 * What a line holds is decided here by name, and nothing is copied from the
 * request as a whole: `Authorization` and cookies are never among it. Pure; who
 * writes the line is somebody else.
 *
 * @module
 */

import type { Settled } from "../proxy/observed.ts";

/** How a line looks. */
export type LogFormat = "json" | "combined";

/** Options for {@linkcode accessLine}. */
export interface AccessLineOptions {
  /** How it looks. */
  format: LogFormat;
  /** Whether queries are kept. */
  query: boolean;
}

/**
 * Characters that are kept of a target or a referer, and of any other field.
 * Collectors cut lines (Docker at 16 KB), and a cut line is no JSON any more.
 */
const MOST_URL = 4096;
const MOST = 256;

/** The line for a request that is over; `now` in milliseconds since 1970. */
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

/** Put together by hand: `JSON.stringify` of it all takes five times as long. */
function jsonLine(settled: Settled, at: number, target: string): string {
  const { backend, attempts, requestId, traceId } = settled;
  let line = `{"time":"${new Date(at).toISOString()}"` +
    `,"client":${json(settled.client)},"method":${json(settled.method)}` +
    `,"target":${json(target, MOST_URL)},"status":${settled.status}` +
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

/** What stands in quotes as it is; nearly every text is like this. */
const PLAIN = /^[ !#-\[\]-~]*$/;

/** A text as JSON. */
function json(text: string, most = MOST): string {
  const kept = cut(text, most);
  if (PLAIN.test(kept)) return `"${kept}"`;
  // JSON leaves these as they are, and some readers end a line at them.
  return JSON.stringify(kept).replace(
    /[\x7f-\x9f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Apache's "combined", with no field more, since programs read it. Whom the
 * request was from is never known (`Authorization` is not looked at), and the
 * runtimes do not tell the version of HTTP.
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
      quoted(target, MOST_URL)
    } HTTP/1.1" ${status} ${bytes} ` +
    `"${quoted(referer, MOST_URL)}" "${quoted(agent)}"`;
}

/** A target or a URL as it may be logged. */
function targetOf(text: string, query: boolean): string {
  // A request that was refused may name a whole URL, and that a password.
  const target = text.replace(/^([a-z][a-z\d+.-]*:\/\/)[^/?#]*@/i, "$1");
  if (query) return target;
  const at = target.search(/[?#]/);
  return at < 0 ? target : target.slice(0, at);
}

function cut(text: string, most = MOST): string {
  return text.length <= most ? text : `${text.slice(0, most)}…`;
}

/** Milliseconds to the microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** A text inside quotes: what could end them or the line is escaped. */
function quoted(text: string, most = MOST): string {
  const kept = cut(text, most);
  if (PLAIN.test(kept)) return kept;
  return kept.replace(
    // deno-lint-ignore no-control-regex -- they are what is looked for
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

/** A text without quotes around it, where a space would be another field. */
function bare(text: string): string {
  return quoted(text).replace(/\s/g, "?") || "-";
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/** `10/Oct/2000:13:55:36 +0000`, always UTC: it has no summer. */
function apacheTime(at: number): string {
  const iso = new Date(at).toISOString();
  const month = MONTHS[Number(iso.slice(5, 7)) - 1];
  return `${iso.slice(8, 10)}/${month}/${iso.slice(0, 4)}:` +
    `${iso.slice(11, 19)} +0000`;
}
