/**
 * Header fields: their representation, and which are never forwarded in each
 * direction.
 *
 * The rules of RFC 9110 §7.6 as data: tables of names in lower case, as the
 * runtimes give them.
 *
 * @module
 */

/**
 * Field lines as `fetch` takes them: the only form that keeps two lines apart.
 */
export type Fields = [name: string, value: string][];

/** Read access to the fields of a request; names are in lower case. */
export type Read = Pick<Headers, "get"> & {
  forEach(take: (value: string, name: string) => void): void;
};

/** Fields as a list of lines, in which each name is unique. */
export class Lines implements Read {
  readonly #lines: Fields;

  /** Wraps the list without a copy. */
  constructor(lines: Fields) {
    this.#lines = lines;
  }

  /** The value of a field, or `null`. */
  get(name: string): string | null {
    const lines = this.#lines;
    for (let i = 0; i < lines.length; i++) {
      if (lines[i]![0] === name) return lines[i]![1];
    }
    return null;
  }

  /** Calls back for each line. */
  forEach(take: (value: string, name: string) => void): void {
    const lines = this.#lines;
    for (let i = 0; i < lines.length; i++) take(lines[i]![1], lines[i]![0]);
  }
}

/** Fields as a list of lines, in which names may repeat. */
export class AnswerLines implements Read {
  readonly #lines: Fields;

  /** Wraps the list without a copy. */
  constructor(lines: Fields) {
    this.#lines = lines;
  }

  /** The values of a field, joined as by `Headers`, or `null`. */
  get(name: string): string | null {
    const lines = this.#lines;
    let joined: string | null = null;
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i]!;
      if (line[0] !== name) continue;
      joined = joined === null ? line[1] : `${joined}, ${line[1]}`;
    }
    return joined;
  }

  /** Calls back for each line. */
  forEach(take: (value: string, name: string) => void): void {
    const lines = this.#lines;
    for (let i = 0; i < lines.length; i++) take(lines[i]![1], lines[i]![0]);
  }
}

/**
 * Never forwarded from a client. Each connection has its own framing, `Host` is
 * set separately, and the others concern one connection only.
 */
const REQUEST_DROPPED: ReadonlySet<string> = new Set([
  // RFC 9110 §7.6.1.
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  // RFC 9110 §11.7.2: addressed to the proxy that requested it.
  "proxy-authorization",
  // RFC 9110 §6.6.2: `fetch` sends no trailers, so none may be announced.
  "trailer",
  // RFC 9110 §10.1.1: both runtimes have already answered 100 (Continue).
  "expect",
  // RFC 7540 §3.2.1: goes with `Upgrade: h2c`, which is dropped.
  "http2-settings",
  // Addressed to this proxy; may hold the admin token.
  "sluice-debug",
  // CVE-2016-5385 ("httpoxy"): CGI turns it into HTTP_PROXY.
  "proxy",
  "host",
  // Set with the body, or not at all: a length without its bytes would make the
  // next request part of this one.
  "content-length",
]);

/**
 * A predicate for a set of names that compares lengths first. Most names differ
 * in length, and this avoids hashing strings that the runtime has just made. On
 * Deno a set look-up per field was 0.8 µs of about 80 for a small request.
 */
function among(names: ReadonlySet<string>): (name: string) => boolean {
  let lengths = 0;
  for (const { length } of names) lengths |= 1 << length;
  return (name) => (lengths >> name.length & 1) === 1 && names.has(name);
}

/**
 * The same for names and their aliases. CGI replaces some or all characters
 * other than letters and digits by `_`, so for such a backend `Content_Length`
 * and `Content~Length` are `Content-Length`.
 */
function amongAliases(names: ReadonlySet<string>): (name: string) => boolean {
  const byLength: (string[] | undefined)[] = [];
  for (const name of names) (byLength[name.length] ??= []).push(name);
  return (name) => {
    const candidates = byLength[name.length];
    if (candidates === undefined) return false;
    for (let i = 0; i < candidates.length; i++) {
      if (imitates(name, candidates[i]!)) return true;
    }
    return false;
  };
}

/** Whether a name of the same length equals `wanted`, or is an alias of it. */
function imitates(name: string, wanted: string): boolean {
  for (let i = 0; i < wanted.length; i++) {
    const code = name.charCodeAt(i);
    const want = wanted.charCodeAt(i);
    if (code !== want && !(want === 45 && isPunctuation(code))) return false;
  }
  return true;
}

/** Whether a character of a lower-case name is neither a letter nor a digit. */
function isPunctuation(code: number): boolean {
  return !(code >= 97 && code <= 122) && !(code >= 48 && code <= 57);
}

/**
 * Whether a request field is never forwarded, or is an alias of such a field.
 */
export const isRequestDropped = amongAliases(REQUEST_DROPPED);

/**
 * Never passed back to a client: RFC 9110 §7.6.1, trailers, and §11.7.1 and
 * §11.7.3: a challenge to this proxy, which clients cannot answer.
 */
export const RESPONSE_DROPPED: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Whether a response field is never passed back; names in lower case. */
export const isResponseDropped = among(RESPONSE_DROPPED);

/**
 * Whether `Connection` may remove a field. Not routing and framing, which would
 * change how the backend reads the message, and not what a proxy in front has
 * added (CVE-2024-45410: a proxy let clients remove its own fields this way).
 */
function canBeNamed(name: string): boolean {
  return name !== "host" && name !== "content-length" && name !== "via" &&
    !isForwarding(name);
}

/**
 * Whether a field says for whom a request is made, or is an alias of such a
 * field. Only trusted proxies may send these.
 */
export function isForwarding(name: string): boolean {
  if (name.charCodeAt(0) === 102) return name === "forwarded";
  return FORWARDING.test(name);
}

const FORWARDING = /^x[^a-z\d](?:forwarded(?:[^a-z\d].*)?|real[^a-z\d]ip)$/;

/** Whether a name has characters that only an alias of another name has. */
export function isAlias(name: string): boolean {
  return /[^a-z\d-]/.test(name);
}

/**
 * The names in a `Connection` field that may be removed. Empty and invalid
 * elements are skipped: `Headers` would throw on them.
 */
export function named(
  connection: string | null,
): ReadonlySet<string> | undefined {
  if (
    connection === null || connection === "keep-alive" ||
    connection === "close"
  ) return undefined;
  let names: Set<string> | undefined;
  for (let at = 0; at <= connection.length;) {
    let end = connection.indexOf(",", at);
    if (end < 0) end = connection.length;
    // Skips empty elements without allocating.
    if (end > at) {
      const name = connection.slice(at, end).trim().toLowerCase();
      if (name !== "" && canBeNamed(name)) (names ??= new Set()).add(name);
    }
    at = end + 1;
  }
  return names;
}
