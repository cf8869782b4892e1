/**
 * What a runtime cannot do: the cases that fail on it, what happens instead, and
 * why nothing can be done about it here.
 *
 * Each row is asserted the other way round: a case that holds all of a sudden
 * fails its test, so that an update of a runtime that mends it is noticed. The
 * README's list of limits is made of these rows by {@linkcode limits}.
 *
 * @module
 */

import type { Runtime } from "../harness/proxy.ts";

/** A promise that cannot be kept on a runtime. */
export interface Exception {
  /** Where. */
  runtimes: readonly Runtime[];
  /** With which transport only, if it is one's. */
  over?: "fetch" | "socket";
  /** The group of the cases. */
  group: string;
  /** Begins of the names of the cases. */
  cases: readonly string[];
  /** What happens instead, as a sentence for the README. */
  instead: string;
  /** Why nothing can be done about it here. */
  reason: string;
  /** The runtime's issue, where one is known. */
  issue?: string;
  /** How the case fails: if it fails in another way, that is another fault. */
  seen: RegExp;
  /** It depends on when bytes arrive, so the case may hold as well. */
  sometimes?: boolean;
}

const BOTH = ["deno", "bun"] as const;

/** All of them. */
export const EXCEPTIONS: readonly Exception[] = [
  {
    runtimes: ["deno"],
    over: "fetch",
    group: "target",
    cases: ["target: an apostrophe in the query"],
    instead: "`'` in a query arrives as `%27`.",
    reason: "`fetch` takes URLs, and the URL standard encodes it (§1.3).",
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
      "They are no URI characters (RFC 3986 §2), and `fetch` encodes them.",
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
    instead: "Slashes at the start of a path arrive as one.",
    reason:
      "Bun's `fetch` joins them in every spelling of the URL that was tried; behind a base path they stay.",
    seen: /strictly equal/,
  },
  {
    runtimes: ["bun"],
    group: "target",
    cases: ["target: raw UTF-8", "target: a raw byte", "target: a DEL byte"],
    instead:
      "Raw bytes past ASCII in a target, which are invalid there, arrive percent-encoded (as `%EF%BF%BD` if they are no UTF-8) and are not refused.",
    reason: "`Bun.serve` shows a handler only the URL that it made of them.",
    seen: /%C3%A9|%EF%BF%BD|%7F/,
  },
  {
    runtimes: ["bun"],
    group: "target",
    cases: ["target: a backslash in the path", "target: a backslash that"],
    instead: "`\\` in a path, which is invalid there, arrives as `/`.",
    reason: "`Bun.serve` shows a handler only the URL that it made of it.",
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
      "A method that Bun does not know, or one in lower case, ends the connection without an answer.",
    reason: "`Bun.serve` does not show it to a handler.",
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
      "A request other than GET and HEAD that has no body arrives with `Content-Length: 0`.",
    reason: "Bun's `fetch` adds it.",
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
    reason: "`fetch` adds its own where none is given.",
    seen: /'' !== undefined|'\*\/\*' !== undefined/,
  },
  {
    runtimes: ["deno"],
    over: "fetch",
    group: "fields",
    cases: ["field: no Accept-Language is invented"],
    instead:
      "A request without `Accept-Language` arrives with `Accept-Language: *`.",
    reason: "`fetch` adds it where none is given.",
    issue: "denoland/deno#10987",
    seen: /'\*' !== undefined/,
  },
  {
    runtimes: ["bun"],
    over: "fetch",
    group: "fields",
    cases: ["field: no Connection is invented"],
    instead: "Requests arrive with `Connection: keep-alive`.",
    reason: "Bun's `fetch` adds it.",
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
      "Requests without a `Range` arrive with a line `Accept-Encoding: identity` in front of the client's own. A backend that looks at the first line only (nginx, Go's `Header.Get`) answers uncompressed.",
    reason:
      "Nothing else keeps Deno's `fetch` from decoding gzip and br, which would break their `ETag`, length and range.",
    issue: "denoland/deno#12291",
    seen: /identity/,
  },
  {
    runtimes: ["bun"],
    group: "bodies",
    cases: ["body: trailers are dropped without harm"],
    instead: "An upload with trailers is answered 400.",
    reason: "`Bun.serve` does it by itself.",
    issue: "oven-sh/bun#32887",
    seen: /400 !== 200/,
  },
  {
    runtimes: ["bun"],
    group: "bodies",
    cases: ["body: a chunked upload without its last empty line"],
    instead:
      "An upload in chunks counts as whole once its last chunk has come, without the empty line behind it.",
    reason: "`Bun.serve` reads it so; no byte of the body is missing.",
    issue: "oven-sh/bun#32887",
    seen: /whole upload/,
  },
  {
    runtimes: ["bun"],
    group: "bodies",
    cases: ["body: what follows a body is the next request"],
    instead:
      "A client that sends its next request before it has the answer (pipelining) has its connection closed.",
    reason: "`Bun.serve` does it by itself.",
    issue: "oven-sh/bun#38128",
    seen: /^on a new connection: \|\|/,
  },
  {
    runtimes: BOTH,
    group: "answers",
    cases: ["answer: an unusual reason comes back"],
    instead: "The reason phrase is the standard one, whatever was sent.",
    reason: "A `Response` cannot carry another to the wire.",
    seen: /strictly equal/,
  },
  {
    runtimes: BOTH,
    group: "answers",
    cases: ["answer: 103 Early Hints comes back"],
    instead: "Answers before the answer (102, 103) are dropped.",
    reason: "A `Response` cannot carry them to the wire.",
    seen: /deep-equal/,
  },
  {
    runtimes: BOTH,
    group: "answers",
    cases: ["answer: trailers come back"],
    instead: "Trailers are dropped, and so there is no gRPC.",
    reason: "A `Response` cannot carry them to the wire.",
    seen: /deep-equal/,
  },
  {
    runtimes: ["deno"],
    group: "answers",
    cases: ["answer: 205 comes back"],
    instead: "205 comes back as 204.",
    reason:
      "Deno sends a 205 without any framing, and its client would wait for the end of it.",
    seen: /204 !== 205/,
  },
  {
    runtimes: ["deno"],
    group: "answers",
    cases: ["answer: 304 keeps the length"],
    instead: "304 loses its `Content-Length`, which is optional there.",
    reason: "Deno drops it from an answer without a body.",
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
      "A declared answer over 256 KB, or one that comes in pieces, loses its `Content-Length` and goes out chunked: a download shows no progress.",
    reason:
      "`Bun.serve` drops the length of every stream, also of a direct one; only bytes that are all there keep it.",
    issue: "oven-sh/bun#10507",
    seen: /undefined/,
  },
  {
    runtimes: BOTH,
    over: "socket",
    group: "answers",
    cases: ["answer: lines that end in LF alone"],
    instead: "An answer whose lines end in LF alone is refused with 502.",
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
    instead: "A short chunked answer may go out with a `Content-Length`.",
    reason: "Bun counts a body that is all there.",
    seen: /strictly equal/,
    sometimes: true,
  },
  {
    runtimes: ["bun"],
    over: "fetch",
    group: "broken",
    cases: ["broken: a close-delimited body that ends with RST"],
    instead:
      "A body without a length or chunks that is cut by a reset looks whole.",
    reason: "Bun's `fetch` does not tell that end from a proper one.",
    seen: /looks whole/,
  },
  {
    runtimes: ["bun"],
    over: "fetch",
    group: "framing as it is",
    cases: [
      "framing (as it is): no empty line",
      "framing (as it is): a trailer and no more",
    ],
    instead:
      "A chunked answer counts as complete once its last chunk has come, even if the connection ends before the empty line.",
    reason: "Bun's `fetch` reads it so; no byte of the body is missing.",
    seen: /looks whole/,
  },
  {
    runtimes: ["bun"],
    over: "fetch",
    group: "no http",
    cases: [
      "15 letters",
      "an alert of TLS",
      "a greeting of ICY",
      "4 zero bytes",
    ]
      .map((bytes) => `no http: ${bytes}`),
    instead:
      "A backend that sends fewer than 16 bytes which are not HTTP, and keeps its connection open, is answered with 504 at `TIMEOUT` and not with 502 at once.",
    reason: "Bun's `fetch` does not look at fewer bytes.",
    seen: /504 is not 502/,
  },
  {
    runtimes: ["bun"],
    group: "streaming",
    cases: ["stream: the header of a stream comes before its first byte"],
    instead:
      "The end of a stream's header goes out with its first bytes: an `EventSource` opens at its first event.",
    reason:
      "`Bun.serve` holds it back; a direct stream's `flush()` and empty pieces do not change that.",
    issue: "oven-sh/bun#33660",
    seen: /nothing complete came/,
  },
];

/** The exception that a case falls under, if there is one. */
export function exceptionFor(
  runtime: Runtime,
  over: "fetch" | "socket",
  group: string,
  name: string,
): Exception | undefined {
  return EXCEPTIONS.find((row) =>
    row.runtimes.includes(runtime) && row.group === group &&
    (row.over === undefined || row.over === over) &&
    row.cases.some((begin) => name.startsWith(begin))
  );
}

/** Where an issue is, as Markdown. */
function link(issue: string): string {
  const [repository, number] = issue.split("#");
  return `[${issue}](https://github.com/${repository}/issues/${number})`;
}

/** The README's list of limits: what a runtime does otherwise, and why. */
export function limits(): string {
  const line = ({ instead, reason, issue }: Exception) =>
    `- ${instead} ${reason}${issue === undefined ? "" : ` (${link(issue)})`}\n`;
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
  return `${lists(always)}With \`TRANSPORT=fetch\` these come on top.\n\n${
    lists(byFetch)
  }`.trimEnd() + "\n";
}
