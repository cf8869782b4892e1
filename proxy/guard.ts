/**
 * Step 2: checks method, `Host` and target before anything parses them. A
 * request that passes means the same to every parser behind.
 *
 * @module
 */

import type { ErrorType } from "./errors.ts";
import type { Read } from "./fields.ts";
import { originKey } from "./origins.ts";

/** Why a request is not forwarded. */
export interface Refusal {
  /** Status of the answer. */
  status: number;
  /** Type for `Proxy-Status`. */
  type: ErrorType;
  /** Text for the client; by default the usual one of the status. */
  sentence?: string;
  /** Fields that the status requires. */
  fields?: Readonly<Record<string, string>>;
}

/** A refusal of a malformed request. */
function bad(sentence: string): Refusal {
  return { status: 400, type: "http_request_error", sentence };
}

const EMPTY_HOST = bad("Bad request: the Host field is empty.");
const BAD_HOST = bad("Bad request: the Host field is not a host and port.");
const BAD_TARGET = bad(
  "Bad request: the target has characters that must be percent-encoded.",
);
const OTHER_HOST = bad(
  "Bad request: the target names another host than the Host field.",
);
const NO_AUTHORITY = bad("Bad request: the target names no host.");
const NO_ASTERISK = bad(
  'Bad request: a request for "*" concerns one server and is not forwarded.',
);
const BODY_ON_GET = bad(
  "Bad request: a GET or HEAD with a body cannot be forwarded.",
);
const BAD_LENGTH = bad(
  "Bad request: the Content-Length is not a number that can be counted to.",
);
const UNKNOWN_CODING: Refusal = {
  status: 501,
  type: "http_request_error",
  sentence: "Not implemented: the only transfer coding supported is chunked.",
};
const BAD_FIELD = bad("Bad request: a field contains a control character.");
const CLIMBS = bad(
  "Bad request: the path has dot segments with encoded separators.",
);

/** `Allow` in the proxy's own responses. */
export const ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/** TRACE would show a client the fields added here (RFC 9110 §9.3.8). */
const TRACE: Refusal = {
  status: 405,
  type: "http_request_denied",
  sentence: "Method not allowed: TRACE is not forwarded.",
  fields: { allow: ALLOW },
};

const UNKNOWN_METHOD: Refusal = {
  status: 501,
  type: "http_request_error",
  sentence: "Not implemented: this method is not forwarded.",
};

/**
 * Methods that `fetch` sends unchanged on both runtimes. Others are checked by
 * {@linkcode refuseMethod}: Bun's `fetch` turns unknown ones into GET.
 */
export const COMMON_METHODS: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
]);

/**
 * The refusal of a method that cannot be forwarded: the transport may not send
 * every uncommon method.
 */
export function refuseMethod(
  method: string,
  transport: { sendsMethod(method: string): boolean },
): Refusal | undefined {
  if (COMMON_METHODS.has(method)) return undefined;
  if (method === "TRACE") return TRACE;
  return transport.sendsMethod(method) ? undefined : UNKNOWN_METHOD;
}

/**
 * RFC 9110 §7.2, restricted to the characters of RFC 3986 §3.2.2 that occur in
 * network names. Narrower than the grammar on purpose: Deno pastes `Host` into
 * the request's URL, where `/ # ? @ ,` would change its path.
 */
const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})*|_[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{0,5}))?$/;

/**
 * The refusal of an invalid `Host`. An absent one is valid: HTTP/1.0 has none
 * (HAProxy's `option httpchk`, some nginx configurations), and the backend then
 * gets its own name. RFC 9112 §3.2 requires HTTP/1.1 without one to be refused;
 * Bun does so, and a handler on Deno cannot distinguish the two.
 */
export function refuseHost(host: string | null): Refusal | undefined {
  if (host === null) return undefined;
  if (host === "") return EMPTY_HOST;
  const match = HOST.exec(host);
  if (match === null) return BAD_HOST;
  return match[1] !== undefined && Number(match[1]) > 65535
    ? BAD_HOST
    : undefined;
}

/** A target that can be forwarded. */
export interface Target {
  /** Path and query, starting with a slash. */
  text: string;
  /**
   * Whether a backend that decodes separators would leave its base path, as
   * with `/..%2fadmin`. Relevant only for backends with a base path.
   */
  climbs: boolean;
}

/**
 * Matches targets that need a closer look: a byte other than visible ASCII, a
 * backslash, a fragment, the start of a dot segment in any spelling, or a `%`
 * that appears by decoding. Almost no target matches, so this test is all that
 * most requests pay.
 */
const ODD = /[^!-~]|[\\#]|\/\.|\.\.|%2e|%5c|%25|%[0-9a-f]?%/i;

/**
 * Scheme and authority; on a Unix domain socket Deno's scheme is `http+unix`.
 */
const AUTHORITY = /^(https?|http\+unix):\/\/([^/?#\\]*)/i;

/** A path that may be an absolute form with an empty authority, see below. */
const EMPTY_AUTHORITY = /^\/[a-z][a-z\d+.-]*:\/\/(?:[/?#]|$)/i;

/**
 * Extracts path and query from a request's URL without parsing it.
 *
 * The URL depends on the runtime. On Deno it is scheme, `Host` and target
 * pasted together, or the target itself if that was in absolute form. On Bun it
 * went through a URL parser, or is the bare target if there is no `Host`.
 * `host` must have passed {@linkcode refuseHost}. `pasted`: the URL is from
 * Deno's server, and an authority in the target is checked as well.
 */
export function targetOf(
  url: string,
  host: string | null,
  pasted = false,
): Target | Refusal {
  if (url.charCodeAt(0) === 47) {
    return host === null ? checkedTarget(url, pasted) : BAD_TARGET;
  }
  // The usual case: scheme, `Host`, then the path.
  const schemeEnd = url.startsWith("http://")
    ? 7
    : url.startsWith("https://")
    ? 8
    : 0;
  let start = schemeEnd + (host === null ? 0 : host.length);
  if (
    host === null || schemeEnd === 0 || url.charCodeAt(start) !== 47 ||
    !url.startsWith(host, schemeEnd)
  ) {
    // Absolute form, or an authority that Bun has normalized.
    const authority = AUTHORITY.exec(url);
    if (authority === null) return BAD_TARGET;
    start = authority[0].length;
    if (pasted && host !== null) {
      const [, scheme = "", named = ""] = authority;
      const odd = refuseNamed(scheme, named, host);
      if (odd !== undefined) return odd;
    }
  }
  const text = url.slice(start);
  if (text.charCodeAt(0) !== 47) {
    // `http://host?x` has no path; RFC 9112 §3.2.1 then requires a slash.
    return text === "" || text.charCodeAt(0) === 63
      ? checkedTarget(`/${text}`, pasted)
      : BAD_TARGET;
  }
  return checkedTarget(text, pasted);
}

/**
 * The refusal of an absolute form, or an HTTP/2 request, whose authority
 * differs from `Host`. A proxy in front may have used one to route or filter,
 * and the backend uses the other, so they must agree.
 */
function refuseNamed(
  scheme: string,
  named: string,
  host: string,
): Refusal | undefined {
  if (named === "") return NO_AUTHORITY;
  return refuseHost(named) ??
    (originKey(scheme, named) === originKey(scheme, host)
      ? undefined
      : OTHER_HOST);
}

/** Checks a target that starts with a slash. */
function checkedTarget(text: string, pasted: boolean): Target | Refusal {
  // Deno shows `GET http:///x` as the path `/http:///x`. RFC 9110 §4.2.1
  // requires it to be refused. A real path of this form is refused too, which
  // is listed in the limits.
  if (pasted && text.includes("://") && EMPTY_AUTHORITY.test(text)) {
    return NO_AUTHORITY;
  }
  return ODD.test(text) ? oddTarget(text) : { text, climbs: false };
}

/** How a server of ours is reached, which a request's URL may not show. */
export interface Served {
  /** Its scheme. */
  scheme: "http" | "https";
  /** The `Host` that Deno makes up, if that is the address it listens on. */
  authority: string | undefined;
  /** Whether it sends our responses as they are, with no code of a user between. */
  direct: boolean;
}

/**
 * The host of a request without a `Host` field: one made in code, or of HTTP/2,
 * where only the URL has the authority. For HTTP/1.0 without `Host`, Deno makes
 * up `localhost` or the address it listens on; the client did not send that.
 */
export function impliedHost(
  url: string,
  pasted: boolean,
  served?: Served,
): string | null {
  const [, scheme = "", authority] = AUTHORITY.exec(url) ?? [];
  if (authority === undefined) return null;
  if (!pasted || scheme.toLowerCase() === "https") return authority;
  const invented = scheme.length > 5 || authority === served?.authority ||
    /^localhost(?::\d*)?$/.test(authority);
  return invented ? null : authority;
}

/**
 * The scheme of the client's connection. A server of ours knows it. Deno's URL
 * shows what the client wrote if the target was in absolute form, so a client
 * could claim `https` without TLS. For a bare target, as on Bun, the server
 * knows it from its `connection`.
 */
export function schemeOf(
  url: string,
  served: Served | undefined,
  source: { schemeOf?(connection: unknown): string | undefined },
  connection: unknown,
): "http" | "https" {
  if (served !== undefined) return served.scheme;
  if (url.charCodeAt(0) === 47) {
    return source.schemeOf?.(connection) === "https" ? "https" : "http";
  }
  return (url.charCodeAt(4) | 32) === 115 ? "https" : "http";
}

/**
 * The refusal of a request body's framing, if it is invalid.
 *
 * A coding before `chunked` would not be decoded (RFC 9112 §6.1 asks for 501).
 * `fetch` cannot send a body with GET or HEAD: it is refused explicitly, since
 * dropping it would change the request (RFC 9110 §9.3.1).
 */
export function refuseFraming(
  method: string,
  length: string | null,
  transferEncoding: string | null,
): Refusal | undefined {
  if (
    transferEncoding !== null && transferEncoding.toLowerCase() !== "chunked"
  ) return UNKNOWN_CODING;
  if (
    (method === "GET" || method === "HEAD") &&
    (transferEncoding !== null || (length !== null && !/^0+$/.test(length)))
  ) return BODY_ON_GET;
  return length === null ||
      (/^\d+$/.test(length) && Number(length) <= Number.MAX_SAFE_INTEGER)
    ? undefined
    : BAD_LENGTH;
}

/**
 * Says whether a field's value holds the byte DEL (RFC 9110 §5.5). Strict
 * backends answer it with 400 or close the connection, so that any client could
 * have them ejected.
 */
export function refuseDelete(fields: Read): Refusal | undefined {
  let found = false;
  fields.forEach((value) => {
    if (value.includes("\x7f")) found = true;
  });
  return found ? BAD_FIELD : undefined;
}

/** Whether the value is a refusal. */
export function isRefusal(value: object): value is Refusal {
  return "status" in value;
}

/** `OPTIONS *` arrives as the path `/*`, and `fetch` could only send that. */
export function refuseAsterisk(
  method: string,
  target: string,
): Refusal | undefined {
  return method === "OPTIONS" && target === "/*" ? NO_ASTERISK : undefined;
}

/** The answer to a target that would leave a backend's base path. */
export const CLIMBING: Refusal = CLIMBS;

/**
 * Whether the `Destination` of a COPY or MOVE (RFC 4918 §10.3) climbs, like a
 * target with {@linkcode Target.climbs}: it could put a file outside of the
 * base path.
 */
export function destinationClimbs(method: string, headers: Read): boolean {
  if (method !== "COPY" && method !== "MOVE") return false;
  const destination = headers.get("destination");
  return destination !== null && climbs(destination.split(/[?#]/, 1)[0]!);
}

/**
 * Whether an `Authorization` authenticates a connection and not a request (RFC
 * 4559 §6).
 */
export function logsConnectionIn(authorization: string | null): boolean {
  return authorization !== null &&
    /^(?:ntlm|negotiate)(?: |$)/i.test(authorization);
}

/** Checks an unusual target. */
function oddTarget(text: string): Target | Refusal {
  // Such a character is not allowed in a target (RFC 9112 §3.2), and `fetch`
  // would rewrite or drop it.
  if (/[^!-~]|[\\#]/.test(text)) return BAD_TARGET;
  const question = text.indexOf("?");
  const path = question < 0 ? text : text.slice(0, question);
  const query = question < 0 ? "" : text.slice(question);
  const plain = withoutDotSegments(path);
  return { text: plain + query, climbs: climbs(plain) };
}

/** The segments `.` and `..` in each spelling that RFC 3986 allows. */
const DOT = /^(?:\.|%2e)$/i;
const DOT_DOT = /^(?:\.|%2e){2}$/i;

/**
 * Removes dot segments as the URL standard does (RFC 3986 §5.2.4, but `%2e`
 * counts as a dot). `fetch` would do it, and Bun has already done it. Done
 * here, the path that is checked is the path that is sent, on both runtimes.
 */
function withoutDotSegments(path: string): string {
  const kept: string[] = [];
  const segments = path.split("/");
  for (let i = 1; i < segments.length; i++) {
    const segment = segments[i]!;
    const last = i === segments.length - 1;
    if (DOT_DOT.test(segment)) {
      kept.pop();
      if (last) kept.push("");
    } else if (DOT.test(segment)) {
      if (last) kept.push("");
    } else {
      kept.push(segment);
    }
  }
  return `/${kept.join("/")}`;
}

/** A segment `..`, also followed by Tomcat's path parameters. */
const PARENT = /(?:^|\/)\.\.(?:;[^/]*)?(?:\/|$)/;

/**
 * Whether decoding a path, even twice, gives a `..` between separators:
 * `..%2f`, `%2e%2e%5c`, `%252e%252e%252f`, `..;`. Each round decodes every
 * byte, since each letter may be encoded: `%25%32%65` is `%2e` after the first
 * round.
 */
function climbs(path: string): boolean {
  let text = path;
  for (let round = 0; round < 3; round++) {
    const decoded = text.replace(ESCAPE, decodedByte).replaceAll("\\", "/");
    if (PARENT.test(decoded)) return true;
    if (decoded === text) return false;
    text = decoded;
  }
  return false;
}

const ESCAPE = /%[0-9a-f]{2}/gi;

function decodedByte(escape: string): string {
  return String.fromCharCode(parseInt(escape.slice(1), 16));
}
