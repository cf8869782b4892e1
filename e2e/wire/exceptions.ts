/**
 * Limitations of the runtimes: the cases that fail on them, what happens
 * instead, and why it cannot be fixed here.
 *
 * For each row the reverse is asserted: a case that suddenly passes fails its
 * test, so that a fix in a new version of a runtime is noticed. The list in
 * `docs/limits.md` is generated from these rows by {@linkcode limits}.
 *
 * @module
 */

import type { Runtime, SentBy } from "../harness/proxy.ts";
import { BOTH, type Exception } from "./exception.ts";
import { AT_THE_EDGE } from "./exceptions_edge.ts";

/** All of them. */
export const EXCEPTIONS: readonly Exception[] = [
  {
    runtimes: ["deno"],
    over: "fetch",
    group: "target",
    cases: ["target: an apostrophe in the query"],
    instead: "`'` in a query arrives as `%27`.",
    reason:
      "`fetch` takes a URL, and the URL standard encodes the character (§1.3).",
    seen: /%27/,
  },
  {
    runtimes: ["deno"],
    over: "fetch",
    group: "target",
    cases: [
      "target: braces in the path",
      "target: a backtick in the path",
      "target: quotes and angle brackets",
    ],
    instead:
      '`"`, `<`, `>` anywhere, and `` ` ``, `{`, `}` in a path, arrive percent-encoded.',
    reason:
      "They are not allowed in a URI (RFC 3986 §2), and `fetch` encodes them.",
    seen: /%22|%7B|%60/,
  },
  {
    runtimes: ["bun"],
    group: "target",
    cases: [
      "target: an apostrophe in the query",
      "target: braces in the path",
      "target: a backtick in the path",
      "target: quotes and angle brackets",
      "target: a caret in the path",
    ],
    instead:
      "`'` in a query, `\"`, `<`, `>` anywhere, and `` ` ``, `{`, `}`, `^` in a path, arrive percent-encoded.",
    reason:
      "`Bun.serve` shows a handler only the URL that it made of the target.",
    seen: /%27|%22|%7B|%60|%5E/,
  },
  {
    runtimes: ["bun"],
    over: "fetch",
    group: "target",
    cases: ["target: a double slash at the start", "target: three slashes"],
    instead:
      "Several slashes at the start of a path arrive as one, unless the backend has a base path.",
    reason: "Bun's `fetch` merges them, however the URL is written.",
    seen: /strictly equal/,
  },
  {
    runtimes: ["bun"],
    group: "target",
    cases: ["target: raw UTF-8", "target: a raw byte", "target: a DEL byte"],
    instead:
      "Bytes outside ASCII in a target are invalid, but are not refused: they arrive percent-encoded, and as `%EF%BF%BD` if they are not UTF-8.",
    reason: "`Bun.serve` gives a handler only the parsed URL.",
    seen: /%C3%A9|%EF%BF%BD|%7F/,
  },
  {
    runtimes: ["bun"],
    group: "target",
    cases: ["target: a backslash in the path", "target: a backslash that"],
    instead:
      "`\\` in a path is invalid, but is not refused: it arrives as `/`.",
    reason: "`Bun.serve` gives a handler only the parsed URL.",
    seen: /deep-equal/,
  },
  {
    runtimes: ["bun"],
    group: "target",
    cases: ["target: an absolute form that names"],
    instead:
      "A target in absolute form that names another host than `Host` goes on, and `Host` decides.",
    reason: "`Bun.serve` does not show a handler which host the target named.",
    seen: /nothing reached the backend/,
  },
  {
    runtimes: ["bun"],
    group: "target",
    cases: [
      "target: an absolute form with an empty authority",
      "target: an absolute form with nothing but the scheme",
      "target: an absolute form with a port alone",
      "target: an absolute form with empty userinfo",
    ],
    instead:
      "A target in absolute form that names no host (`http:///x`) goes on as its path.",
    reason: "`Bun.serve` shows a handler only the URL that it made of it.",
    seen: /nothing reached the backend/,
  },
  {
    runtimes: ["deno"],
    group: "target",
    cases: ["target: a path that looks like an absolute form"],
    instead: "A path that begins like `/http:///` is refused with 400.",
    reason:
      "Deno shows a handler the same URL for the target `http:///`, which names no host and has to be refused (RFC 9110 §4.2.1).",
    seen: /400 !== 200/,
  },
  {
    runtimes: ["deno"],
    group: "host",
    cases: ["host: a missing Host"],
    instead:
      "HTTP/1.1 without a `Host` is forwarded like HTTP/1.0, which has none: the backend gets its own name.",
    reason: "Deno's server takes it, and a handler cannot tell the two apart.",
    seen: /nothing reached the backend/,
  },
  {
    runtimes: ["bun"],
    group: "methods",
    cases: [
      "FOO",
      "TRACK",
      "DEBUG",
      "BASELINE-CONTROL",
      "GETX",
      "G",
      "X-CUSTOM.1",
      "PRI",
      "get",
      "Get",
      "post",
      "delete",
      "put",
      "options",
      "head",
    ].map((method) => `method: ${method} goes on as it is or is refused`),
    instead:
      "A method that Bun does not know, or that is in lower case, closes the connection without a response.",
    reason: "`Bun.serve` does it before a handler sees the request.",
    issue: "oven-sh/bun#6556",
    seen: /0 !== 501/,
  },
  {
    runtimes: ["bun"],
    over: "fetch",
    group: "methods",
    cases: ["DELETE", "OPTIONS", "PATCH"].map((method) =>
      `method: ${method} without a body gets no Content-Length`
    ),
    instead:
      "A request without a body arrives with `Content-Length: 0`, unless it is a GET or HEAD.",
    reason: "Bun's `fetch` adds the field.",
    seen: /'0' !== undefined/,
  },
  {
    runtimes: BOTH,
    over: "fetch",
    group: "fields",
    cases: [
      "field: no User-Agent is invented",
      "field: no Accept is invented",
    ],
    instead:
      "A request without `User-Agent` or `Accept` arrives with an empty `User-Agent` and `Accept: */*`.",
    reason: "`fetch` adds a missing field; ours can only be empty.",
    seen: /'' !== undefined|'\*\/\*' !== undefined/,
  },
  {
    runtimes: ["deno"],
    over: "fetch",
    group: "fields",
    cases: ["field: no Accept-Language is invented"],
    instead:
      "A request without `Accept-Language` arrives with `Accept-Language: *`.",
    reason: "Deno's `fetch` adds a missing field.",
    issue: "denoland/deno#10987",
    seen: /'\*' !== undefined/,
  },
  {
    runtimes: ["bun"],
    over: "fetch",
    group: "fields",
    byAuto: true,
    cases: ["field: no Connection is invented"],
    instead: "Requests arrive with `Connection: keep-alive`.",
    reason: "Bun's `fetch` adds the field.",
    seen: /keep-alive/,
  },
  {
    runtimes: ["deno"],
    over: "fetch",
    group: "fields",
    cases: [
      "field: no Accept-Encoding is invented",
      'field: Accept-Encoding "gzip"',
      'field: Accept-Encoding "br;',
      'field: Accept-Encoding "zstd"',
      'field: Accept-Encoding "*"',
      'field: Accept-Encoding ""',
    ],
    instead:
      "A request without `Range` arrives with an additional line `Accept-Encoding: identity` before the client's own. A backend that reads only the first line (nginx, Go's `Header.Get`) does not compress, and a signature that covers the field does not match (AWS SigV4 with `accept-encoding` among its signed headers).",
    reason:
      "Nothing else keeps Deno's `fetch` from decoding gzip and br, which would make `ETag`, length and range wrong.",
    issue: "denoland/deno#12291",
    seen: /identity/,
  },
  {
    runtimes: ["bun"],
    group: "bodies",
    cases: ["body: trailers are dropped without harm"],
    instead: "A request with trailers is answered with 400.",
    reason: "`Bun.serve` does it.",
    issue: "oven-sh/bun#32887",
    seen: /400 !== 200/,
  },
  {
    runtimes: ["bun"],
    group: "bodies",
    cases: ["body: a chunked upload without its last empty line"],
    instead:
      "A chunked request body counts as complete once its last chunk has come, without the empty line after it.",
    reason: "`Bun.serve` reads it so; no byte of the body is missing.",
    issue: "oven-sh/bun#32887",
    seen: /whole upload/,
  },
  {
    runtimes: ["bun"],
    group: "bodies",
    cases: ["body: what follows a body is the next request"],
    instead:
      "A client that sends a request before it has the response to the previous one (pipelining) has its connection closed: `svn checkout` fails.",
    reason: "`Bun.serve` does it.",
    issue: "oven-sh/bun#38128",
    seen: /^on a new connection: \|\|/,
  },
  {
    runtimes: BOTH,
    group: "answers",
    cases: ["answer: an unusual reason comes back"],
    instead: "The reason phrase is always the standard one.",
    reason: "Neither server sends the one of a `Response`.",
    seen: /strictly equal/,
  },
  {
    runtimes: BOTH,
    group: "answers",
    cases: ["answer: 103 Early Hints comes back"],
    instead: "Interim responses (102, 103) are dropped.",
    reason: "A `Response` cannot carry them to the wire.",
    seen: /deep-equal/,
  },
  {
    runtimes: BOTH,
    group: "answers",
    cases: ["answer: trailers come back"],
    instead: "Trailers are dropped, so gRPC does not work.",
    reason: "A `Response` cannot carry them to the wire.",
    seen: /deep-equal/,
  },
  {
    runtimes: ["deno"],
    group: "answers",
    cases: ["answer: 205 comes back"],
    instead: "A 205 is sent as 204, except in response to HEAD.",
    reason:
      "Deno sends a 205 without framing, and the client would wait for its end.",
    seen: /204 !== 205/,
  },
  {
    runtimes: ["deno"],
    group: "answers",
    cases: ["answer: 304 keeps the length"],
    instead: "A 304 loses its `Content-Length`, which is optional there.",
    reason: "Deno drops the field from a response without a body.",
    seen: /undefined/,
  },
  {
    runtimes: ["bun"],
    group: "answers",
    cases: [
      "answer: an answer of 1 MB keeps its Content-Length",
      "answer: an answer of 10 MB keeps its Content-Length",
      "answer: an answer of 1 KB that dribbles keeps its",
      "answer: an answer of 1 MB that dribbles keeps its",
    ],
    instead:
      "A response of declared length that is larger than 256 KB, or that comes in pieces, is sent chunked, without `Content-Length`: downloads show no progress, and clients that need the field fail (`s3cmd get`).",
    reason:
      "`Bun.serve` drops the length of every stream, also of a direct one; only a body that is complete keeps it.",
    issue: "oven-sh/bun#10507",
    seen: /undefined/,
  },
  {
    runtimes: BOTH,
    over: "socket",
    group: "answers",
    cases: ["answer: lines that end in LF alone"],
    instead:
      "Over sockets, an answer whose lines end in LF alone is refused with 502.",
    reason:
      "To take it would be allowed (RFC 9112 §2.2), but readers that differ in that can be made to see different answers.",
    seen: /502 !== 200/,
  },
  {
    runtimes: ["deno"],
    over: "socket",
    group: "answers",
    cases: ["answer: a chunked answer stays chunked"],
    instead:
      "A short chunked answer that comes at once goes out with a `Content-Length`.",
    reason: "What is all there is handed to Deno as bytes, which it counts.",
    seen: /strictly equal/,
    sometimes: true,
  },
  {
    runtimes: ["bun"],
    group: "answers",
    cases: ["answer: a chunked answer stays chunked"],
    instead: "A short chunked response may be sent with `Content-Length`.",
    reason: "Bun adds the length of a body that is complete.",
    seen: /strictly equal/,
    sometimes: true,
  },
  {
    runtimes: ["deno"],
    over: "fetch",
    group: "broken",
    cases: ["broken: an empty line before the status line"],
    instead:
      "Empty lines before the status line of a response are passed over instead of refused.",
    reason: "Deno's `fetch` reads it so.",
    seen: /200 !== 502/,
  },
  {
    runtimes: ["bun"],
    over: "fetch",
    group: "broken",
    cases: [
      "broken: HTTP/1.2 as a version",
      "broken: several spaces behind the version",
    ],
    instead:
      "A response whose status line says HTTP/1.2, or has several spaces behind the version, is passed on instead of refused.",
    reason: "Bun's `fetch` reads it so.",
    seen: /200 !== 502/,
  },
  {
    runtimes: ["bun"],
    over: "fetch",
    group: "broken",
    byAuto: true,
    cases: ["broken: a close-delimited body that ends with RST"],
    instead:
      "A response body that neither length nor chunks delimit looks complete when a reset cuts it.",
    reason: "Bun's `fetch` does not report that reset.",
    seen: /looks whole/,
  },
  {
    runtimes: ["bun"],
    group: "streaming",
    cases: ["stream: the header of a stream comes before its first byte"],
    instead:
      "The head of a streamed response is completed only by its first bytes: an `EventSource` opens at its first event.",
    reason:
      "`Bun.serve` holds the end of the head back; `flush()` of a direct stream and empty pieces do not change that.",
    issue: "oven-sh/bun#33660",
    seen: /nothing complete came/,
  },
  ...AT_THE_EDGE,
];

/** The exception that a case falls under, if there is one. */
export function exceptionFor(
  runtime: Runtime,
  by: SentBy,
  group: string,
  name: string,
): Exception | undefined {
  const row = EXCEPTIONS.find((row) =>
    row.runtimes.includes(runtime) && row.group === group &&
    (row.over === undefined || row.over === by || by === "auto") &&
    row.cases.some((begin) => name.startsWith(begin))
  );
  // With `auto` either transport may have sent the request.
  return by === "auto" && row?.over !== undefined
    ? { ...row, sometimes: true }
    : row;
}

/** Where an issue is, as Markdown. */
function link(issue: string): string {
  const [repository, number] = issue.split("#");
  return `[${issue}](https://github.com/${repository}/issues/${number})`;
}

/** The list in `docs/limits.md`: what a runtime does otherwise, and why. */
export function limits(): string {
  const line = ({ instead, reason, issue, byAuto }: Exception) =>
    `- ${instead} ${reason}${byAuto ? " Also with `auto` on Bun." : ""}${
      issue === undefined ? "" : ` (${link(issue)})`
    }\n`;
  const lists = (rows: readonly Exception[]) => {
    const of = (title: string, ...runtimes: Runtime[]) => {
      const lines = rows.filter((row) => `${row.runtimes}` === `${runtimes}`)
        .map(line).join("");
      return lines === "" ? "" : `${title}:\n\n${lines}\n`;
    };
    return of("On both runtimes", "deno", "bun") + of("On Deno", "deno") +
      of("On Bun", "bun");
  };
  const always = EXCEPTIONS.filter(({ over }) => over !== "fetch");
  const byFetch = EXCEPTIONS.filter(({ over }) => over === "fetch");
  return `${
    lists(always)
  }With \`TRANSPORT=fetch\`, these limits apply in addition.\n\n${
    lists(byFetch)
  }`.trimEnd() + "\n";
}
