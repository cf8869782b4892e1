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

/** Cases of an upgrade that is declined, of requests that have a framing. */
const UPGRADES_WITH_BODY = ["HTTP/2 (h2c)", "TLS (RFC 2817)"].flatMap((to) =>
  ["a declared body", "a length of 0", "a chunked body"].map((body) =>
    `edge: an upgrade to ${to} beside ${body}`
  )
);

/** All of them. */
export const EXCEPTIONS: readonly Exception[] = [
  {
    runtimes: BOTH,
    group: "target",
    cases: ["target: an apostrophe in the query"],
    instead: "`'` in a query arrives as `%27`.",
    reason:
      "`fetch` takes a URL, and the URL standard encodes the character (§1.3).",
    seen: /%27/,
  },
  {
    runtimes: BOTH,
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
    cases: ["target: a caret in the path"],
    instead: "`^` in a path arrives as `%5E`.",
    reason: "Bun's `fetch` encodes it.",
    seen: /%5E/,
  },
  {
    runtimes: ["bun"],
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
    group: "fields",
    cases: ["field: no Connection is invented"],
    instead: "Requests arrive with `Connection: keep-alive`.",
    reason: "Bun's `fetch` adds the field.",
    seen: /keep-alive/,
  },
  {
    runtimes: ["deno"],
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
    reason: "`fetch` does not show them.",
    seen: /deep-equal/,
  },
  {
    runtimes: BOTH,
    group: "answers",
    cases: ["answer: trailers come back"],
    instead: "Trailers are dropped, so gRPC does not work.",
    reason: "`fetch` neither shows nor sends them.",
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
    runtimes: ["bun"],
    group: "answers",
    cases: ["answer: a chunked answer stays chunked"],
    instead: "A short chunked response may be sent with `Content-Length`.",
    reason: "Bun adds the length of a body that is complete.",
    seen: /strictly equal/,
    sometimes: true,
  },
  {
    runtimes: ["bun"],
    group: "broken",
    cases: ["broken: a close-delimited body that ends with RST"],
    instead:
      "A response body that neither length nor chunks delimit looks complete when a reset cuts it.",
    reason: "Bun's `fetch` does not report that reset.",
    seen: /looks whole/,
  },
  {
    runtimes: ["bun"],
    group: "framing as it is",
    cases: [
      "framing (as it is): no empty line",
      "framing (as it is): a trailer and no more",
    ],
    instead:
      "A chunked response counts as complete once its last chunk has come, even if the connection ends before the empty line.",
    reason: "Bun's `fetch` reads it so; no byte of the body is missing.",
    seen: /looks whole/,
  },
  {
    runtimes: ["bun"],
    group: "no http",
    cases: [
      "15 letters",
      "an alert of TLS",
      "a greeting of ICY",
      "4 zero bytes",
    ]
      .map((bytes) => `no http: ${bytes}`),
    instead:
      "If a backend sends fewer than 16 bytes that are not HTTP and keeps its connection open, the client gets 504 at `TIMEOUT` instead of 502 at once.",
    reason: "Bun's `fetch` does not look at fewer bytes.",
    seen: /504 is not 502/,
  },
  {
    runtimes: BOTH,
    group: "heads",
    cases: [
      "heads: a request's head of 65,541 bytes",
      "heads: a request's head of 1 MB",
    ],
    instead:
      "A request whose head is larger than 64 KB is refused, with 400 on Deno and 431 on Bun.",
    reason: "The runtime's server does it, before a handler sees the request.",
    seen: /4(?:00|31) !== 200/,
  },
  {
    runtimes: ["deno"],
    group: "heads",
    cases: [
      "heads: a request of 128 fields",
      "heads: a request of 197 fields",
      "heads: a request of 198 fields",
      "heads: a request of 1,000 fields",
    ],
    instead: "A request with more than 128 field lines is answered with 400.",
    reason: "`Deno.serve` does it.",
    issue: "denoland/deno#21047",
    seen: /400 !== 200/,
  },
  {
    runtimes: ["deno"],
    group: "heads",
    cases: [
      "heads: an answer's head of 600,000 bytes",
      "heads: an answer of 100 fields",
      "heads: an answer of 255 fields",
      "heads: an answer of 256 fields",
      "heads: an answer of 1,000 fields",
    ],
    instead:
      "A response with more than 100 field lines, or a head larger than 500 KB, becomes 502.",
    reason: "Deno's `fetch` refuses it.",
    seen: /502 !== 200/,
  },
  {
    runtimes: ["bun"],
    group: "heads",
    cases: [
      "heads: a request of 198 fields",
      "heads: a request of 1,000 fields",
    ],
    instead: "A request with more than 198 field lines is answered with 431.",
    reason: "`Bun.serve` does it.",
    issue: "oven-sh/bun#6982",
    seen: /431 !== 200/,
  },
  {
    runtimes: ["bun"],
    group: "heads",
    cases: [
      "heads: an answer of 256 fields",
      "heads: an answer of 1,000 fields",
    ],
    instead: "A response with more than 256 field lines becomes 502.",
    reason: "Bun's `fetch` refuses it.",
    seen: /502 !== 200/,
  },
  {
    runtimes: BOTH,
    group: "edge",
    cases: [
      "edge: a client that half-closes after its GET",
      "edge: a client that half-closes after its POST",
    ],
    instead:
      "A client that half-closes its connection after the request (`nc -N`, some health checkers) gets no response.",
    reason:
      "Both servers take a half-close for a client that has left, and end its request.",
    seen: /0 !== 200/,
  },
  {
    runtimes: BOTH,
    group: "edge",
    cases: ["edge: a backend that drops connection attempts"],
    instead:
      "`CONNECT_TIMEOUT` does not apply to requests that `fetch` sends: until its probes fail, a backend host that drops packets costs a request `TIMEOUT`, and then 504.",
    reason: "`fetch` has no limit for connecting.",
    seen: /504/,
  },
  {
    runtimes: ["deno"],
    group: "edge",
    cases: UPGRADES_WITH_BODY,
    instead:
      "A request that has a body or a length beside `Connection: Upgrade` is answered with 400: each such request of Java's HttpClient, of `curl --http2` and of git over plain HTTP. Set `HttpClient.Version.HTTP_1_1`, `curl --http1.1` or `git -c http.version=HTTP/1.1`; with TLS none of them asks for an upgrade.",
    reason: "`Deno.serve` does it.",
    issue: "denoland/deno#34446",
    seen: /400 !== 200/,
  },
  {
    runtimes: ["deno"],
    group: "edge",
    cases: ["edge: an HTTP/1.0 client that is promised keep-alive"],
    instead:
      "An HTTP/1.0 client that asks for keep-alive is promised it, and cut after a streamed response: use `ab` without `-k`.",
    reason: "`Deno.serve` does it.",
    seen: /kept, as promised/,
  },
  {
    runtimes: ["deno"],
    group: "edge",
    cases: [
      "edge: a request that is not understood",
      "edge: an upload over the limit",
    ],
    instead:
      "After a response with `Connection: close` (400, 408, 413) the connection stays open until its client closes it.",
    reason: "`Deno.serve` sends the field and does nothing else about it.",
    issue: "denoland/deno#9411",
    seen: /in vain for the server to close/,
  },
  {
    runtimes: ["deno"],
    group: "edge quiet",
    cases: ["edge: a connection that sends"],
    instead:
      'A connection that sends nothing, or a head that is never complete, is never closed. See "Running it at the edge".',
    reason: "`Deno.serve` has no time limit of any kind.",
    issue: "denoland/deno#3515",
    seen: /in vain for the server to close/,
  },
  {
    runtimes: ["deno"],
    group: "unix",
    cases: ["unix: a request is sent in origin form"],
    instead:
      "A request to a Unix domain socket has its target in absolute form (`GET http://host/path`), which FastAPI and Node's `http` do not route. Use a port on the loopback address, or Bun.",
    reason: "Deno's `fetch` takes the socket for a proxy.",
    issue: "denoland/deno#30699",
    seen: /http:\/\/sluice\.test/,
  },
  {
    runtimes: ["deno"],
    group: "unix",
    cases: [
      "unix: requests for many hosts",
      "unix: requests that are sent once",
    ],
    instead:
      "About one in twenty new connections to a Unix domain socket hangs, and its request is answered with 504 at `TIMEOUT`. Each `Host` and each request that must not be sent twice opens one. Use a port on the loopback address, or Bun.",
    reason: "Deno's `fetch` does it.",
    seen: /504/,
  },
  {
    runtimes: ["bun"],
    group: "bodiless as it is",
    cases: ["bodiless: HEAD gets no Transfer-Encoding"],
    instead:
      "A response to HEAD that says no length is sent with `Transfer-Encoding: chunked`.",
    reason: "`Bun.serve` would say `Content-Length: 0`, which would be wrong.",
    seen: /chunked/,
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
];

/** The exception that a case falls under, if there is one. */
export function exceptionFor(
  runtime: Runtime,
  group: string,
  name: string,
): Exception | undefined {
  return EXCEPTIONS.find((row) =>
    row.runtimes.includes(runtime) && row.group === group &&
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
  const of = (...runtimes: Runtime[]) =>
    EXCEPTIONS.filter((row) => `${row.runtimes}` === `${runtimes}`).map(line)
      .join("");
  return `On both runtimes:\n\n${of("deno", "bun")}\nOn Deno:\n\n${
    of("deno")
  }\nOn Bun:\n\n${of("bun")}`;
}
