/**
 * Field lines: their form, and which names never go on, on which side.
 *
 * The rules are RFC 9110 §7.6. They are data here: tables of names, which are in
 * lower case as the runtimes give them.
 *
 * @module
 */

/** Field lines as `fetch` takes them: the only form that keeps two lines two. */
export type Fields = [name: string, value: string][];

/** What is read of a request's fields; names are in lower case. */
export type Read = Pick<Headers, "get"> & {
  forEach(take: (value: string, name: string) => void): void;
};

/** Fields as a list of lines, each name once. */
export class Lines implements Read {
  readonly #lines: Fields;

  /** Takes the list as it is. */
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

  /** Gives each line. */
  forEach(take: (value: string, name: string) => void): void {
    const lines = this.#lines;
    for (let i = 0; i < lines.length; i++) take(lines[i]![1], lines[i]![0]);
  }
}

/** Fields as a list of lines, in which names may come again. */
export class AnswerLines implements Read {
  readonly #lines: Fields;

  /** Takes the list as it is. */
  constructor(lines: Fields) {
    this.#lines = lines;
  }

  /** The values of a field, as `Headers` joins them, or `null`. */
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

  /** Gives each line. */
  forEach(take: (value: string, name: string) => void): void {
    const lines = this.#lines;
    for (let i = 0; i < lines.length; i++) take(lines[i]![1], lines[i]![0]);
  }
}

/**
 * Never forwarded from a client. The framing is the sender's business on each
 * connection, `Host` is set anew, and the rest concerns one connection only.
 */
const REQUEST_DROPPED: ReadonlySet<string> = new Set([
  // RFC 9110 §7.6.1.
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  // RFC 9110 §11.7.2: for the proxy that asked for it, which a backend is not.
  "proxy-authorization",
  // RFC 9110 §6.6.2: `fetch` sends no trailers, so none may be announced.
  "trailer",
  // RFC 9110 §10.1.1: both runtimes have answered 100 (Continue) themselves.
  "expect",
  // RFC 7540 §3.2.1: goes with `Upgrade: h2c`, which is dropped.
  "http2-settings",
  // Addressed to this proxy, and may hold the admin token.
  "sluice-debug",
  // CVE-2016-5385 ("httpoxy"): CGI makes HTTP_PROXY of it.
  "proxy",
  "host",
  // Said anew with the body, or not at all when there is none: a length without
  // its bytes would make the next request a part of this one.
  "content-length",
]);

/**
 * Whether a name is among these, by its length first: most names differ in that,
 * which spares hashing texts that the runtime has just made. On Deno `strip`,
 * which asked a set for each, was 0.8 µs of the about 80 of a small request.
 */
function among(names: ReadonlySet<string>): (name: string) => boolean {
  let lengths = 0;
  for (const { length } of names) lengths |= 1 << length;
  return (name) => (lengths >> name.length & 1) === 1 && names.has(name);
}

/**
 * The same for names and their aliases. CGI makes `_` of each character that is
 * no letter or digit, or of some of them, so to a backend of that kind
 * `Content_Length` and `Content~Length` are the `Content-Length`.
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

/** Whether a name equals one as long, or would after its `_` are made `-`. */
function imitates(name: string, wanted: string): boolean {
  for (let i = 0; i < wanted.length; i++) {
    const code = name.charCodeAt(i);
    const want = wanted.charCodeAt(i);
    if (code !== want && !(want === 45 && isPunctuation(code))) return false;
  }
  return true;
}

/** Whether a character of a name in lower case is no letter and no digit. */
function isPunctuation(code: number): boolean {
  return !(code >= 97 && code <= 122) && !(code >= 48 && code <= 57);
}

/** Whether a field of a request is never forwarded, or imitates one. */
export const isRequestDropped = amongAliases(REQUEST_DROPPED);

/**
 * Never passed back to a client: RFC 9110 §7.6.1, trailers again, and §11.7.1
 * and §11.7.3: a challenge to the proxy, which no client of its could meet.
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

/** Whether a field of an answer is never passed back; names in lower case. */
export const isResponseDropped = among(RESPONSE_DROPPED);

/**
 * What `Connection` must not name away: routing and framing, which would let a
 * client change how the message is read behind us, and what a proxy before us
 * has said (CVE-2024-45410 was a proxy that let its own fields be removed so).
 */
function canBeNamed(name: string): boolean {
  return name !== "host" && name !== "content-length" && name !== "via" &&
    !isForwarding(name);
}

/**
 * Fields that say for whom a request is made, which are believed from few, and
 * their aliases.
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
 * Names that a `Connection` field lists, as far as they may be removed. Empty
 * and invalid elements are passed over: `Headers` would throw on them.
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
    // A field of commas alone costs no text for each.
    if (end > at) {
      const name = connection.slice(at, end).trim().toLowerCase();
      if (name !== "" && canBeNamed(name)) (names ??= new Set()).add(name);
    }
    at = end + 1;
  }
  return names;
}
