/**
 * A second reader of responses, written only from RFC 9112 and RFC 9110, to
 * check the client's reader.
 *
 * It is as simple as possible: it takes all bytes of a connection at once, as
 * text, and is neither fast nor incremental. It shares no code with `http/`.
 *
 * @module
 */

/** What a connection's bytes were. */
export type Reference =
  /** A whole answer. */
  | {
    readonly kind: "answer";
    readonly status: number;
    readonly fields: readonly (readonly [string, string])[];
    readonly body: string;
    /** Whether the connection may carry another request. */
    readonly persists: boolean;
    /** Where the next answer would begin; none if only the close ends it. */
    readonly size: number | undefined;
  }
  /** Invalid, whatever bytes follow. */
  | { readonly kind: "invalid"; readonly why: string }
  /** Cut: it would need more bytes than there were. */
  | { readonly kind: "cut" };

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const STATUS_LINE =
  /^HTTP\/1\.([01]) ([1-5][0-9][0-9])(?: [\t \x21-\x7e\x80-\xff]*)?$/;
const ANY_STATUS_LINE =
  /^HTTP\/1\.([0-9]) +([1-5][0-9][0-9])(?: [\t \x21-\x7e\x80-\xff]*)?$/;
const FIELD_LINE = new RegExp(`^(${TOKEN}):([\\t \\x21-\\x7e\\x80-\\xff]*)$`);
const CHUNK_LINE =
  /^([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t \x21-\x7e\x80-\xff]*|[ \t]*)$/;

/** What some clients read although the RFC forbids it, each by its name. */
export type AnswerLiberty =
  /** LF alone ends a line of the head. */
  | "LF alone"
  /** Empty lines before a status line. */
  | "empty lines before an answer"
  /** Any digit in the version, and any number of spaces behind it. */
  | "status lines"
  /** A coding in HTTP/1.0. */
  | "a coding in HTTP/1.0"
  /** Lengths that nothing is read by: beside chunks, and of HEAD. */
  | "unused lengths"
  /** A body counts as complete once its last chunk has come. */
  | "no empty line behind the last chunk";

/**
 * Reads what a connection has brought until it ended.
 *
 * @param liberties What is read although it is forbidden.
 */
export function referenceOf(
  bytes: string,
  method: string,
  liberties: ReadonlySet<AnswerLiberty> = new Set(),
): Reference {
  const read = readingOf(bytes, method, liberties);
  if (read.kind !== "answer") return read;
  const { left, ...answer } = read;
  const size = left === undefined ? undefined : bytes.length - left.length;
  return { ...answer, size };
}

/** As {@linkcode Reference}; an answer with the bytes behind it. */
type Read =
  | Omit<Extract<Reference, { kind: "answer" }>, "size"> & {
    readonly left: string | undefined;
  }
  | Exclude<Reference, { kind: "answer" }>;

function readingOf(
  bytes: string,
  method: string,
  liberties: ReadonlySet<AnswerLiberty>,
): Read {
  const lf = liberties.has("LF alone");
  const statusLine = liberties.has("status lines")
    ? ANY_STATUS_LINE
    : STATUS_LINE;
  const badLine = (lines: readonly string[]) => firstBad(lines, statusLine);
  let rest = bytes;
  for (;;) {
    if (liberties.has("empty lines before an answer")) {
      rest = rest.replace(/^(?:\r?\n)+/, "");
    }
    const found = (lf ? /\r?\n\r?\n/ : /\r\n\r\n/).exec(rest);
    const end = found === null ? -1 : found.index;
    const over = end + (found?.[0].length ?? 0);
    const head = found === null ? rest : `${rest.slice(0, end)}\r\n`;
    const lines = head.split(lf ? /\r?\n/ : "\r\n");
    // The last one is empty where the head is whole, and unfinished elsewhere.
    if (end < 0) {
      const whole = lines.slice(0, -1);
      const bad = badLine(whole);
      return bad === undefined ? { kind: "cut" } : invalid(bad);
    }
    lines.pop();
    const bad = badLine(lines);
    if (bad !== undefined) return invalid(bad);
    const [, minor, code] = statusLine.exec(lines[0]!)!;
    const status = Number(code);
    rest = rest.slice(over);
    if (status === 101) return invalid("an upgrade");
    if (status < 200) continue;
    const fields = lines.slice(1).map((line): readonly [string, string] => {
      const [, name, value] = FIELD_LINE.exec(line)!;
      return [name!.toLowerCase(), trimmed(value!)];
    });
    return bodyOf(rest, method, status, minor!, fields, liberties);
  }
}

function invalid(why: string): Read {
  return { kind: "invalid", why };
}

function firstBad(
  lines: readonly string[],
  statusLine: RegExp,
): string | undefined {
  for (const [at, line] of lines.entries()) {
    if (!(at === 0 ? statusLine : FIELD_LINE).test(line)) {
      return `line ${at}: ${JSON.stringify(line)}`;
    }
  }
  return undefined;
}

/** Without the optional white space around it (RFC 9110 §5.6.3). */
function trimmed(value: string): string {
  return value.replace(/^[ \t]+/, "").replace(/[ \t]+$/, "");
}

/** RFC 9112 §6.3, in its order. */
function bodyOf(
  rest: string,
  method: string,
  status: number,
  minor: string,
  fields: readonly (readonly [string, string])[],
  liberties: ReadonlySet<AnswerLiberty>,
): Read {
  const valuesOf = (wanted: string) =>
    fields.filter(([name]) => name === wanted).map(([, value]) => value);
  const connection = valuesOf("connection").join(",").toLowerCase()
    .split(",").map(trimmed);
  const keeps = minor === "1" && !connection.includes("close");
  const answer = (body: string, left: string | undefined): Read => ({
    kind: "answer",
    status,
    fields,
    body,
    persists: keeps && left === "",
    left,
  });
  const lengths = valuesOf("content-length").flatMap((value) =>
    value.split(",").map(trimmed)
  );
  const codings = valuesOf("transfer-encoding");
  const unused = codings.length > 0 || method === "HEAD" || status === 204 ||
    status === 304;
  for (const length of lengths) {
    if (unused && liberties.has("unused lengths")) break;
    if (!/^[0-9]{1,15}$/.test(length)) return invalid("a length");
    if (Number(length) !== Number(lengths[0])) return invalid("two lengths");
  }
  if (method === "HEAD" || status === 204 || status === 304) {
    return answer("", rest);
  }
  if (codings.length > 0) {
    const old = minor === "0" && !liberties.has("a coding in HTTP/1.0");
    if (codings.join(",").toLowerCase() !== "chunked" || old) {
      return invalid("a coding");
    }
    return chunksOf(rest, answer, liberties);
  }
  if (lengths.length > 0) {
    const length = Number(lengths[0]);
    if (rest.length < length) return { kind: "cut" };
    return answer(rest.slice(0, length), rest.slice(length));
  }
  return answer(rest, undefined);
}

/** RFC 9112 §7.1. */
function chunksOf(
  text: string,
  answer: (body: string, left: string) => Read,
  liberties: ReadonlySet<AnswerLiberty>,
): Read {
  let rest = text;
  let body = "";
  for (;;) {
    const end = rest.indexOf("\r\n");
    if (end < 0) return { kind: "cut" };
    const size = CHUNK_LINE.exec(rest.slice(0, end));
    if (size === null) return invalid("a chunk's size");
    const length = Number.parseInt(size[1]!, 16);
    rest = rest.slice(end + 2);
    if (length === 0) break;
    if (rest.length < length) return { kind: "cut" };
    body += rest.slice(0, length);
    rest = rest.slice(length);
    if (rest.length < 2 && "\r\n".startsWith(rest)) return { kind: "cut" };
    if (!rest.startsWith("\r\n")) return invalid("a chunk's end");
    rest = rest.slice(2);
  }
  if (liberties.has("no empty line behind the last chunk")) {
    return answer(body, rest);
  }
  for (;;) {
    const end = rest.indexOf("\r\n");
    if (end < 0) return { kind: "cut" };
    const line = rest.slice(0, end);
    rest = rest.slice(end + 2);
    if (line === "") return answer(body, rest);
    if (!FIELD_LINE.test(line)) return invalid("a trailer");
  }
}
