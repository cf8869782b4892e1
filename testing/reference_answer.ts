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
  }
  /** Invalid, whatever bytes follow. */
  | { readonly kind: "invalid"; readonly why: string }
  /** Cut: it would need more bytes than there were. */
  | { readonly kind: "cut" };

const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const STATUS_LINE =
  /^HTTP\/1\.([01]) ([1-5][0-9][0-9])(?: [\t \x21-\x7e\x80-\xff]*)?$/;
const FIELD_LINE = new RegExp(`^(${TOKEN}):([\\t \\x21-\\x7e\\x80-\\xff]*)$`);
const CHUNK_LINE =
  /^([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t \x21-\x7e\x80-\xff]*|[ \t]*)$/;

/** Reads what a connection has brought until it ended. */
export function referenceOf(bytes: string, method: string): Reference {
  let rest = bytes;
  for (;;) {
    const end = rest.indexOf("\r\n\r\n");
    const head = end < 0 ? rest : rest.slice(0, end + 2);
    const lines = head.split("\r\n");
    // The last one is empty where the head is whole, and unfinished elsewhere.
    if (end < 0) {
      const whole = lines.slice(0, -1);
      const bad = badLine(whole);
      return bad === undefined ? { kind: "cut" } : invalid(bad);
    }
    lines.pop();
    const bad = badLine(lines);
    if (bad !== undefined) return invalid(bad);
    const [, minor, code] = STATUS_LINE.exec(lines[0]!)!;
    const status = Number(code);
    rest = rest.slice(end + 4);
    if (status === 101) return invalid("an upgrade");
    if (status < 200) continue;
    const fields = lines.slice(1).map((line): readonly [string, string] => {
      const [, name, value] = FIELD_LINE.exec(line)!;
      return [name!.toLowerCase(), trimmed(value!)];
    });
    return bodyOf(rest, method, status, minor!, fields);
  }
}

function invalid(why: string): Reference {
  return { kind: "invalid", why };
}

function badLine(lines: readonly string[]): string | undefined {
  for (const [at, line] of lines.entries()) {
    if (!(at === 0 ? STATUS_LINE : FIELD_LINE).test(line)) {
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
): Reference {
  const valuesOf = (wanted: string) =>
    fields.filter(([name]) => name === wanted).map(([, value]) => value);
  const connection = valuesOf("connection").join(",").toLowerCase()
    .split(",").map(trimmed);
  const keeps = minor === "1" && !connection.includes("close");
  const answer = (body: string, persists: boolean): Reference => ({
    kind: "answer",
    status,
    fields,
    body,
    persists,
  });
  const lengths = valuesOf("content-length").flatMap((value) =>
    value.split(",").map(trimmed)
  );
  for (const length of lengths) {
    if (!/^[0-9]{1,15}$/.test(length)) return invalid("a length");
    if (Number(length) !== Number(lengths[0])) return invalid("two lengths");
  }
  const codings = valuesOf("transfer-encoding");
  if (method === "HEAD" || status === 204 || status === 304) {
    return answer("", keeps && rest === "");
  }
  if (codings.length > 0) {
    if (codings.join(",").toLowerCase() !== "chunked" || minor === "0") {
      return invalid("a coding");
    }
    return chunksOf(rest, (body, left) => answer(body, keeps && left === ""));
  }
  if (lengths.length > 0) {
    const length = Number(lengths[0]);
    if (rest.length < length) return { kind: "cut" };
    return answer(rest.slice(0, length), keeps && rest.length === length);
  }
  return answer(rest, false);
}

/** RFC 9112 §7.1. */
function chunksOf(
  text: string,
  answer: (body: string, left: string) => Reference,
): Reference {
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
  for (;;) {
    const end = rest.indexOf("\r\n");
    if (end < 0) return { kind: "cut" };
    const line = rest.slice(0, end);
    rest = rest.slice(end + 2);
    if (line === "") return answer(body, rest);
    if (!FIELD_LINE.test(line)) return invalid("a trailer");
  }
}
