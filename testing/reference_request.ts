/**
 * A second reader of requests, written only from RFC 9112 and RFC 9110, to
 * check a proxy.
 *
 * It is as simple as possible: it takes all bytes of a connection at once, as
 * latin1 text, and is neither fast nor incremental. It shares no code with what
 * ships. Where the RFC leaves a recipient a choice that cannot be read in two
 * ways (a lone LF as the end of a line of the head, empty lines before a
 * request, two equal lengths), it is lenient: a proxy may refuse what this
 * accepts, but must never act on what this does not accept.
 *
 * @module
 */

/** One request. */
export interface ReferenceRequest {
  readonly method: string;
  readonly target: string;
  /** The second digit of its version: 0 or 1. */
  readonly minor: 0 | 1;
  /** In order; names in lower case, values without space around them. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
  /**
   * What a server has to answer with 400 although the request's extent is
   * certain: a missing `Host`, a target with invalid bytes.
   */
  readonly faults: readonly string[];
  /** Where it begins and ends in the text. */
  readonly from: number;
  readonly to: number;
}

/** What a connection's bytes were. */
export interface ReferenceRequests {
  /** Requests that are complete. */
  readonly requests: readonly ReferenceRequest[];
  /**
   * How it ended: after a request, within one, or with bytes that are not one,
   * whatever follows.
   */
  readonly end: "clean" | "cut" | "invalid";
  /** What is invalid. */
  readonly why: string | undefined;
  /** Where the bytes begin that are in no complete request. */
  readonly rest: number;
}

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const REQUEST_LINE = new RegExp(`^(${TOKEN}) ([^ \\t]+) HTTP/1\\.([01])$`);
const FIELD_LINE = new RegExp(`^(${TOKEN}):([\\t \\x21-\\x7e\\x80-\\xff]*)$`);
const CHUNK_LINE =
  /^(0*[0-9A-Fa-f]{1,16})(?:[ \t]*;[\t \x21-\x7e\x80-\xff]*|[ \t]*)$/;
/** What can still become a request line; a token is at most so long here. */
const REQUEST_BEGIN = new RegExp(
  `^(?:${TOKEN})?(?: (?:[^ \\t\\r]+(?: (?:H(?:T(?:T(?:P(?:/(?:1(?:\\.[01]?)?)?)?)?)?)?)?\\r?)?)?)?$`,
);

class Invalid extends Error {}
class Cut extends Error {}

/** What some servers read although the RFC forbids it, each by its name. */
export type Liberty =
  /** White space before a chunk's size. */
  | "space before a chunk's size"
  /** A body counts as complete once its last chunk has come. */
  | "no empty line behind the last chunk";

/**
 * Reads what a connection has brought.
 *
 * @param liberties What is read although it is forbidden.
 */
export function requestsOf(
  text: string,
  liberties: ReadonlySet<Liberty> = new Set(),
): ReferenceRequests {
  const requests: ReferenceRequest[] = [];
  let at = 0;
  try {
    for (;;) {
      // RFC 9112 §2.2: at least one empty line before a request is ignored.
      let from = at;
      while (text.startsWith("\r\n", from) || text[from] === "\n") {
        from += text[from] === "\n" ? 1 : 2;
      }
      if (from === text.length) {
        return { requests, end: "clean", why: undefined, rest: at };
      }
      if (from + 1 === text.length && text[from] === "\r") throw new Cut();
      const request = requestAt(text, from, liberties);
      requests.push(request);
      at = request.to;
    }
  } catch (error) {
    if (error instanceof Cut) {
      return { requests, end: "cut", why: undefined, rest: at };
    }
    if (!(error instanceof Invalid)) throw error;
    return { requests, end: "invalid", why: error.message, rest: at };
  }
}

/** A line and where the next begins; `lf` says whether LF alone ends it too. */
function lineAt(
  text: string,
  at: number,
  lf: boolean,
): [line: string, next: number] | undefined {
  const end = text.indexOf("\n", at);
  if (end < 0) return undefined;
  const hasCr = end > at && text[end - 1] === "\r";
  if (!hasCr && !lf) throw new Invalid("LF alone");
  return [text.slice(at, hasCr ? end - 1 : end), end + 1];
}

function requestAt(
  text: string,
  from: number,
  liberties: ReadonlySet<Liberty>,
): ReferenceRequest {
  const first = lineAt(text, from, true);
  if (first === undefined) {
    if (!REQUEST_BEGIN.test(text.slice(from))) {
      throw new Invalid("no request line");
    }
    throw new Cut();
  }
  const [line, afterLine] = first;
  const match = REQUEST_LINE.exec(line);
  if (match === null) throw new Invalid(`request line ${JSON.stringify(line)}`);
  const [, method = "", target = "", digit] = match;
  const minor = digit === "1" ? 1 : 0;
  const [fields, afterHead] = fieldsAt(text, afterLine, true);
  const [body, to] = bodyAt(text, afterHead, minor, fields, liberties);
  const faults = faultsOf(method, target, minor, fields);
  return { method, target, minor, fields, body, faults, from, to };
}

/** Field lines up to the empty one. */
function fieldsAt(
  text: string,
  from: number,
  lf: boolean,
): [fields: [string, string][], next: number] {
  const fields: [string, string][] = [];
  let at = from;
  for (;;) {
    const found = lineAt(text, at, lf);
    if (found === undefined) throw new Cut();
    const [line, next] = found;
    at = next;
    if (line === "") return [fields, at];
    const match = FIELD_LINE.exec(line);
    if (match === null) throw new Invalid(`field ${JSON.stringify(line)}`);
    fields.push([match[1]!.toLowerCase(), trimmed(match[2]!)]);
  }
}

/** Without the optional white space around it (RFC 9110 §5.6.3). */
function trimmed(value: string): string {
  let from = 0;
  let to = value.length;
  while (from < to && /[ \t]/.test(value[from]!)) from++;
  while (to > from && /[ \t]/.test(value[to - 1]!)) to--;
  return value.slice(from, to);
}

/** RFC 9112 §6.3, in its order, and strict where it offers a choice. */
function bodyAt(
  text: string,
  from: number,
  minor: 0 | 1,
  fields: readonly (readonly [string, string])[],
  liberties: ReadonlySet<Liberty>,
): [body: string, next: number] {
  const valuesOf = (wanted: string) =>
    fields.filter(([name]) => name === wanted).map(([, value]) => value);
  const codings = valuesOf("transfer-encoding");
  const lengths = valuesOf("content-length").flatMap((value) =>
    value.split(",").map(trimmed)
  );
  for (const length of lengths) {
    if (!/^0*[0-9]{1,15}$/.test(length)) {
      throw new Invalid(`length "${length}"`);
    }
    if (Number(length) !== Number(lengths[0])) throw new Invalid("two lengths");
  }
  if (codings.length > 0) {
    const list = codings.join(",").toLowerCase().split(",").map(trimmed);
    if (
      list.at(-1) !== "chunked" || list.indexOf("chunked") < list.length - 1
    ) {
      throw new Invalid(`coding "${codings.join(",")}"`);
    }
    if (lengths.length > 0) throw new Invalid("a coding and a length");
    if (minor === 0) throw new Invalid("a coding in HTTP/1.0");
    return chunksAt(text, from, liberties);
  }
  const length = Number(lengths[0] ?? 0);
  if (text.length - from < length) throw new Cut();
  return [text.slice(from, from + length), from + length];
}

/** RFC 9112 §7.1. Here a lone LF ends no line: lengths depend on it. */
function chunksAt(
  text: string,
  from: number,
  liberties: ReadonlySet<Liberty>,
): [body: string, next: number] {
  let body = "";
  let at = from;
  for (;;) {
    const found = lineAt(text, at, false);
    if (found === undefined) {
      if (
        !/^0*[0-9A-Fa-f]{0,16}(?:[ \t]*;[\t -~\x80-\xff]*|[ \t]*)\r?$/.test(
          text.slice(at),
        )
      ) throw new Invalid("a chunk's size");
      throw new Cut();
    }
    const [written, next] = found;
    const line = liberties.has("space before a chunk's size")
      ? written.trimStart()
      : written;
    const size = CHUNK_LINE.exec(line);
    if (size === null) throw new Invalid(`chunk size ${JSON.stringify(line)}`);
    const length = Number.parseInt(size[1]!, 16);
    at = next;
    if (length === 0) break;
    if (text.length - at < length) throw new Cut();
    body += text.slice(at, at + length);
    at += length;
    const end = text.slice(at, at + 2);
    if (end !== "\r\n") {
      if ("\r\n".startsWith(end)) throw new Cut();
      throw new Invalid("a chunk's end");
    }
    at += 2;
  }
  if (liberties.has("no empty line behind the last chunk")) {
    return [body, text.startsWith("\r\n", at) ? at + 2 : at];
  }
  const [, next] = fieldsAt(text, at, false);
  return [body, next];
}

const HOST =
  /^(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*(?::[0-9]*)?$|^\[[0-9A-Fa-f:.]+\](?::[0-9]*)?$/;

/** Requests that RFC 9112 §3.2 and RFC 9110 §7.2 require to be refused. */
function faultsOf(
  method: string,
  target: string,
  minor: 0 | 1,
  fields: readonly (readonly [string, string])[],
): string[] {
  const faults: string[] = [];
  const hosts = fields.filter(([name]) => name === "host");
  if (hosts.length > 1) faults.push("several Host fields");
  else if (hosts.length === 0) {
    if (minor === 1) faults.push("no Host field");
  } else if (!HOST.test(hosts[0]![1])) faults.push("an invalid Host field");
  if (!/^[!-~]+$/.test(target) || /[\\#]/.test(target)) {
    faults.push("invalid bytes in the target");
  }
  const form = target.startsWith("/")
    ? "origin"
    : /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]/.test(target)
    ? "absolute"
    : target === "*" && method === "OPTIONS"
    ? "asterisk"
    : method === "CONNECT"
    ? "authority"
    : undefined;
  if (form === undefined) faults.push("a target of no form");
  // Its end is certain, but what it holds is not (RFC 9112 §6.1: 501).
  const codings = fields.filter(([name]) => name === "transfer-encoding")
    .map(([, value]) => value).join(",");
  if (codings !== "" && codings.toLowerCase() !== "chunked") {
    faults.push("a coding besides chunked");
  }
  return faults;
}
