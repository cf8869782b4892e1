import assert from "node:assert/strict";
import { requestsOf } from "./reference_request.ts";

const GET = "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n";
const post = (framing: string, body: string) =>
  `POST /p HTTP/1.1\r\nHost: a.test\r\n${framing}\r\n\r\n${body}`;

/** A short form of the result. */
function read(text: string): string {
  const { requests, end } = requestsOf(text);
  const each = requests.map(({ method, target, body, faults }) =>
    `${method} ${target} ${JSON.stringify(body)}${
      faults.length > 0 ? ` but ${faults}` : ""
    }`
  );
  return [...each, end].join(", ");
}

const CASES: [name: string, text: string, wanted: string][] = [
  ["nothing", "", "clean"],
  ["a request", GET, 'GET /a "", clean'],
  ["two requests", GET + GET, 'GET /a "", GET /a "", clean'],
  ["an empty line before", `\r\n\r\n${GET}`, 'GET /a "", clean'],
  ["lines that end in LF", GET.replaceAll("\r", ""), 'GET /a "", clean'],
  ["half a head", GET.slice(0, -2), "cut"],
  ["half a request line", "GET /a HT", "cut"],
  ["half a line that can be none", "GET /a XT", "invalid"],
  ["a length", post("Content-Length: 3", "abc"), 'POST /p "abc", clean'],
  ["a length and less", post("Content-Length: 3", "ab"), "cut"],
  [
    "a length and more",
    post("Content-Length: 3", `abc${GET}`),
    'POST /p "abc", GET /a "", clean',
  ],
  [
    "chunks",
    post("Transfer-Encoding: chunked", `3;x\r\nabc\r\n0\r\nX: y\r\n\r\n${GET}`),
    'POST /p "abc", GET /a "", clean',
  ],
  [
    "chunks without their last line",
    post("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n"),
    "cut",
  ],
  ["LF in chunks", post("Transfer-Encoding: chunked", "3\nabc\r\n"), "invalid"],
  [
    "a length and chunks",
    post("Content-Length: 3\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
    "invalid",
  ],
  [
    "two lengths",
    post("Content-Length: 3\r\nContent-Length: 4", "a"),
    "invalid",
  ],
  [
    "two equal lengths",
    post("Content-Length: 1\r\nContent-Length: 1", "a"),
    'POST /p "a", clean',
  ],
  ["a signed length", post("Content-Length: +1", "a"), "invalid"],
  ["gzip alone", post("Transfer-Encoding: gzip", "a"), "invalid"],
  [
    "gzip and chunks",
    post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
    'POST /p "" but a coding besides chunked, clean',
  ],
  ["a folded line", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "invalid"],
  ["a space before a colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "invalid"],
  ["a DEL", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", "invalid"],
  ["HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "invalid"],
  [
    "no host",
    "GET / HTTP/1.1\r\n\r\n",
    'GET / "" but no Host field, clean',
  ],
  ["no host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", 'GET / "", clean'],
  [
    "two hosts",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    'GET / "" but several Host fields, clean',
  ],
  [
    "a raw byte in a target",
    "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
    'GET /\xe9 "" but invalid bytes in the target, clean',
  ],
];

for (const [name, text, wanted] of CASES) {
  Deno.test(`requestsOf() reads ${name}`, () => {
    assert.equal(read(text), wanted);
    // What is cut anywhere is never more than what the whole is.
    for (let to = 0; to < text.length; to++) {
      const { requests, end } = requestsOf(text.slice(0, to));
      if (end === "invalid") assert.match(wanted, /invalid$/, `${to} bytes`);
      assert.ok(requests.length <= requestsOf(text).requests.length, `${to}`);
    }
  });
}

Deno.test("requestsOf() takes the liberties that it is given, and no others", () => {
  const spaced = post("Transfer-Encoding: chunked", " 1\r\na\r\n0\r\n\r\n");
  const short = post("Transfer-Encoding: chunked", "1\r\na\r\n0\r\n");
  assert.equal(requestsOf(spaced).end, "invalid");
  assert.equal(requestsOf(short).end, "cut");
  assert.equal(
    requestsOf(spaced, new Set(["space before a chunk's size"])).end,
    "clean",
  );
  assert.equal(
    requestsOf(short, new Set(["no empty line behind the last chunk"])).end,
    "clean",
  );
});
