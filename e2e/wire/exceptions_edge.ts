/**
 * The rows of `exceptions.ts` on framing, sizes and connections.
 *
 * @module
 */

import { BOTH, type Exception } from "./exception.ts";

/** Cases of a declined upgrade of requests that have framing. */
const UPGRADES_WITH_BODY = ["HTTP/2 (h2c)", "TLS (RFC 2817)"].flatMap((to) =>
  ["a declared body", "a length of 0", "a chunked body"].map((body) =>
    `edge: an upgrade to ${to} beside ${body}`
  )
);

/** All of them. */
export const AT_THE_EDGE: readonly Exception[] = [
  {
    runtimes: ["bun"],
    over: "fetch",
    byAuto: true,
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
    over: "fetch",
    byAuto: true,
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
    over: "fetch",
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
    runtimes: BOTH,
    over: "socket",
    group: "heads",
    cases: [
      "heads: an answer's head of 500,000 bytes",
      "heads: an answer's head of 600,000 bytes",
      "heads: an answer of 1,000 fields",
    ],
    instead:
      "A response with more than 1,000 field lines, or a head larger than 64 KB, becomes 502.",
    reason: "The client refuses it, so that no backend can fill its memory.",
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
    over: "fetch",
    byAuto: true,
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
    over: "socket",
    group: "edge",
    cases: ["edge: a body that ends with its TLS connection"],
    instead:
      "From an `https:` backend, a body that neither length nor chunks delimit looks complete if its connection is closed without TLS's `close_notify`.",
    reason:
      "Neither runtime tells the two ends of a TLS connection apart. A reset is noticed.",
    seen: /Missing expected rejection/,
  },
  {
    runtimes: ["bun"],
    over: "fetch",
    byAuto: true,
    group: "edge",
    cases: ["edge: a body that ends with its TLS connection"],
    instead:
      "A body of an `https:` backend that neither length nor chunks delimit looks complete without TLS's `close_notify`.",
    reason: "Bun's `fetch` does not tell the two ends apart.",
    seen: /Missing expected rejection/,
  },
  {
    runtimes: BOTH,
    over: "fetch",
    byAuto: true,
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
    group: "smuggling",
    cases: ["smuggling: a head whose last lines end in LF and CRLF"],
    instead:
      "A head whose last field line ends in LF alone and whose empty line is CRLF is not seen to end if it comes in two packets: its request is not answered.",
    reason:
      "`Deno.serve` looks for the end of a head that came in pieces only behind CRLF CRLF and LF LF.",
    seen: /nothing complete came/,
  },
  {
    runtimes: ["bun"],
    group: "smuggling",
    cases: ["smuggling: malformed chunks behind a refused head"],
    instead:
      "If the chunks of a request body are malformed and its response has begun, a bare `400 Bad Request` is written into that response, and the connection is closed.",
    reason:
      "`Bun.serve` does it. The response cannot be taken for a complete one: its last chunk is missing.",
    seen: /Not a chunk size|Cut/,
  },
  {
    runtimes: ["deno"],
    group: "edge quiet",
    cases: ["edge: a connection that sends"],
    instead:
      "A connection that sends nothing, or a head that is never complete, is never closed. See [Running at the edge](production.md#running-at-the-edge).",
    reason: "`Deno.serve` has no time limit of any kind.",
    issue: "denoland/deno#3515",
    seen: /in vain for the server to close/,
  },
  {
    runtimes: ["deno"],
    over: "fetch",
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
    over: "fetch",
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
];
