/**
 * The first look at a request, before anything parses it: method, `Host` and
 * target. What passes here means the same to every parser behind.
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
  /** Said to the client; none for what its status always says. */
  sentence?: string;
  /** Fields that this status wants. */
  fields?: Readonly<Record<string, string>>;
}

/** Makes a refusal of a malformed request. */
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
const BAD_LENGTH = bad("Bad request: the Content-Length is not a number.");
const UNKNOWN_CODING: Refusal = {
  status: 501,
  type: "http_request_error",
  sentence: "Not implemented: the only transfer coding taken is chunked.",
};
const CLIMBS = bad("Bad request: the path climbs with encoded separators.");

/** TRACE would show a client what was added behind it (RFC 9110 §9.3.8). */
const TRACE: Refusal = {
  status: 405,
  type: "http_request_denied",
  sentence: "Method not allowed: TRACE is not forwarded.",
  fields: {
    allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
  },
};

const UNKNOWN_METHOD: Refusal = {
  status: 501,
  type: "http_request_error",
  sentence: "Not implemented: this method is not forwarded.",
};

/**
 * Methods that `fetch` sends as they are on both runtimes. Any other is asked
 * about with {@linkcode refuseMethod}: Bun's `fetch` would turn it into a GET.
 */
const COMMON: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "OPTIONS",
]);

/**
 * Says whether a method cannot be forwarded. The transport is asked of those that
 * are not common.
 */
export function refuseMethod(
  method: string,
  transport: { sendsMethod(method: string): boolean },
): Refusal | undefined {
  if (COMMON.has(method)) return undefined;
  if (method === "TRACE") return TRACE;
  return transport.sendsMethod(method) ? undefined : UNKNOWN_METHOD;
}

/**
 * RFC 9110 §7.2 with the characters of RFC 3986 §3.2.2 that a name on the
 * network can have. Narrower than the grammar on purpose: `/ # ? @ ,` in a
 * `Host` are pasted into the request's URL by Deno, and would move its path.
 */
const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})*|_[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{0,5}))?$/;

/**
 * Says what is wrong with a `Host` field, if anything. None at all is fine:
 * HTTP/1.0 has none (HAProxy's `option httpchk`, nginx as it may be set up), and
 * a backend then gets its own name. RFC 9112 §3.2 wants HTTP/1.1 without one
 * refused, which Bun does, and Deno's handlers cannot tell the two apart.
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

/** A target that can be sent on, or the reason why it cannot. */
export interface Target {
  /** Path and query, starting with a slash. */
  text: string;
  /**
   * Whether a backend that decodes separators could leave its base path by it,
   * as with `/..%2fadmin`. Matters only to backends with a base path.
   */
  climbs: boolean;
}

/**
 * What makes a target worth a closer look: a byte that is not visible ASCII, a
 * backslash, a fragment, the start of a dot segment in any spelling, or a `%`
 * that decoding brings to light. Nearly no target has one, so nearly every
 * request pays for this test alone.
 */
const ODD = /[^!-~]|[\\#]|\/\.|\.\.|%2e|%5c|%25|%[0-9a-f]?%/i;

/** Scheme and authority; Deno names the scheme so on a Unix domain socket. */
const AUTHORITY = /^(https?|http\+unix):\/\/([^/?#\\]*)/i;

/** A path that can be an absolute form whose authority is empty, see below. */
const EMPTY_AUTHORITY = /^\/[a-z][a-z\d+.-]*:\/\/(?:[/?#]|$)/i;

/**
 * Takes path and query out of a request's URL without parsing it.
 *
 * The URL is the runtime's: on Deno it is scheme, `Host` and the target pasted
 * together, or the target itself when it was in absolute form; on Bun it has
 * been through a URL parser, or is the bare target where there is no `Host`.
 * `host` must have passed {@linkcode refuseHost}. With `pasted` the URL came
 * from Deno's server, and what it shows of the target is looked at too.
 */
export function targetOf(
  url: string,
  host: string | null,
  pasted = false,
): Target | Refusal {
  if (url.charCodeAt(0) === 47) {
    return host === null ? checkedTarget(url, pasted) : BAD_TARGET;
  }
  // The usual case: the URL is what `Host` says and then the path.
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
    // Absolute form, or an authority that Bun has spelt anew.
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
    // `http://host?x` has no path; RFC 9112 §3.2.1 asks for a slash then.
    return text === "" || text.charCodeAt(0) === 63
      ? checkedTarget(`/${text}`, pasted)
      : BAD_TARGET;
  }
  return checkedTarget(text, pasted);
}

/**
 * Says what is wrong with the authority of an absolute form, or of HTTP/2,
 * beside the `Host` field. What stands in front may have routed or filtered by
 * the one and the backend goes by the other, so they have to agree.
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

/** A target that starts with a slash, or why it cannot be sent on. */
function checkedTarget(text: string, pasted: boolean): Target | Refusal {
  // `GET http:///x` is shown by Deno as the path `/http:///x`. RFC 9110 §4.2.1
  // wants it refused; that a path of just this form is refused with it is listed
  // among the limits.
  if (pasted && text.includes("://") && EMPTY_AUTHORITY.test(text)) {
    return NO_AUTHORITY;
  }
  return ODD.test(text) ? oddTarget(text) : { text, climbs: false };
}

/** How a server of our own is reached, which a request's URL need not show. */
export interface Served {
  /** What it speaks. */
  scheme: "http" | "https";
  /** What Deno invents for `Host`, where that is the address it listens on. */
  authority: string | undefined;
}

/**
 * Host of a request that has no `Host` field: a request made in code, or one of
 * HTTP/2, where the authority is only in the URL. Deno invents `localhost` or
 * the address it listens on for an HTTP/1.0 request without one, and such a name
 * was not said by the client.
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
 * Scheme of the client's connection. A server of our own knows it; a URL from
 * Deno shows what the client wrote where the target was in absolute form, so a
 * client could say `https` on a connection without TLS. For a bare target, as
 * Bun shows it, the server is asked, by way of its `connection`.
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
 * Says what is wrong with how a request's body is framed, if anything.
 *
 * A coding before `chunked` would be passed on undone (RFC 9112 §6.1 asks for
 * 501), and a body on GET or HEAD cannot be sent by `fetch`: refused in words,
 * since dropping it in silence would make it another request (RFC 9110 §9.3.1).
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
  return length === null || /^\d+$/.test(length) ? undefined : BAD_LENGTH;
}

/** Whether something was refused. */
export function isRefusal(value: object): value is Refusal {
  return "status" in value;
}

/** `OPTIONS *` arrives as the path `/*`, which `fetch` could only send as such. */
export function refuseAsterisk(
  method: string,
  target: string,
): Refusal | undefined {
  return method === "OPTIONS" && target === "/*" ? NO_ASTERISK : undefined;
}

/** The answer to a target that would leave a backend's base path. */
export const CLIMBING: Refusal = CLIMBS;

/**
 * Whether the `Destination` of a COPY or MOVE (RFC 4918 §10.3) climbs, as
 * {@linkcode Target.climbs} says it of a target: behind a base path it could
 * otherwise put a file outside of it.
 */
export function destinationClimbs(method: string, headers: Read): boolean {
  if (method !== "COPY" && method !== "MOVE") return false;
  const destination = headers.get("destination");
  return destination !== null && climbs(destination.split(/[?#]/, 1)[0]!);
}

/**
 * Whether an `Authorization` logs a connection in, and not a request (RFC 4559
 * §6).
 */
export function logsConnectionIn(authorization: string | null): boolean {
  return authorization !== null &&
    /^(?:ntlm|negotiate)(?: |$)/i.test(authorization);
}

/** A target with something unusual in it. */
function oddTarget(text: string): Target | Refusal {
  // A raw byte past ASCII, a control, a space, a backslash or a fragment is no
  // target at all (RFC 9112 §3.2), and `fetch` would respell or drop it.
  if (/[^!-~]|[\\#]/.test(text)) return BAD_TARGET;
  const question = text.indexOf("?");
  const path = question < 0 ? text : text.slice(0, question);
  const query = question < 0 ? "" : text.slice(question);
  const plain = withoutDotSegments(path);
  return { text: plain + query, climbs: climbs(plain) };
}

/** A segment that is `.` or `..`, in each way that RFC 3986 lets it be written. */
const DOT = /^(?:\.|%2e)$/i;
const DOT_DOT = /^(?:\.|%2e){2}$/i;

/**
 * Removes dot segments as the URL standard does (and RFC 3986 §5.2.4, save that
 * `%2e` counts as a dot). `fetch` would do it in any case and Bun has done it
 * before we look: done here, what is matched is what is sent, on both.
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

/** A segment `..`, also with Tomcat's path parameters behind it. */
const PARENT = /(?:^|\/)\.\.(?:;[^/]*)?(?:\/|$)/;

/**
 * Whether decoding a path, even twice, brings a `..` between separators to
 * light: `..%2f`, `%2e%2e%5c`, `%252e%252e%252f`, `..;`. Each round decodes every
 * byte, since any of those letters may have been encoded by itself: `%25%32%65`
 * is `%2e` after the first one.
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
