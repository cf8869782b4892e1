import assert from "node:assert/strict";
import { growsLinearly } from "../testing/growth.ts";
import { cutAtRandom, seeded } from "../testing/random.ts";
import { bytesOf, latin1, Malformed } from "./bytes.ts";
import { type AnswerHead, HeadReader, MAX_FIELDS, MAX_HEAD } from "./head.ts";

/** Reads heads from text; what is behind the last of them is given too. */
function read(
  text: string,
  pieces = [bytesOf(text)],
): { heads: AnswerHead[]; rest: string; whole: boolean } {
  const reader = new HeadReader();
  const heads: AnswerHead[] = [];
  let rest = "";
  for (const piece of pieces) {
    if (heads.length > 0) {
      rest += latin1(piece);
      continue;
    }
    const at = reader.push(piece);
    if (at < 0) continue;
    heads.push(reader.take());
    rest += latin1(piece.subarray(at));
  }
  return { heads, rest, whole: heads.length > 0 };
}

/** One byte a piece. */
const singly = (text: string) =>
  Array.from(text, (character) => bytesOf(character));

Deno.test("HeadReader reads what RFC 9112 allows, in one piece or byte by byte", () => {
  for (
    const [text, expected] of [
      [
        "HTTP/1.1 200 OK\r\nA:b\r\nC-D: \t e f \t\r\nE:\r\nF: \r\n\r\n",
        [200, 1, ["a", "b"], ["c-d", "e f"], ["e", ""], ["f", ""]],
      ],
      ["HTTP/1.0 404\r\n\r\n", [404, 0]],
      ["HTTP/1.1 403 \r\n\r\n", [403, 1]],
      ["HTTP/1.1 500 \xe4\t!\r\n\r\n", [500, 1]],
      [
        "HTTP/1.1 101 Switching Protocols\r\nX: \xe4\x80 \xff\r\n\r\n",
        [101, 1, ["x", "\xe4\x80 \xff"]],
      ],
      [
        'HTTP/1.1 200 OK\r\n!#$%&\'*+-.^_`|~0z: "a":b, {c}\r\n\r\n',
        [200, 1, ["!#$%&'*+-.^_`|~0z", '"a":b, {c}']],
      ],
      [
        "HTTP/1.1 200 OK\r\nSame: 1\r\nsame: 2\r\n\r\n",
        [200, 1, ["same", "1"], ["same", "2"]],
      ],
    ] as const
  ) {
    for (const pieces of [[bytesOf(text + "rest")], singly(text + "rest")]) {
      const { heads: [head], rest } = read(text, pieces);
      assert.deepEqual(
        [head?.status, head?.minor, ...head?.fields ?? []],
        expected,
        text,
      );
      assert.equal(rest, "rest");
    }
  }
});

Deno.test("HeadReader refuses what another parser could read differently", () => {
  const ok = "HTTP/1.1 200 OK\r\n";
  for (
    const text of [
      "HTTP/2 200 OK\r\n\r\n",
      "HTTP/1.2 200 OK\r\n\r\n",
      "HTTP/1.10 200 OK\r\n\r\n",
      "HTTP/1.1  200 OK\r\n\r\n",
      "HTTP/1.1\t200 OK\r\n\r\n",
      "HTTP/1.1 600 X\r\n\r\n",
      "HTTP/1.1 099 X\r\n\r\n",
      "HTTP/1.1 20 X\r\n\r\n",
      "HTTP/1.1 2000 X\r\n\r\n",
      "HTTP/1.1 200OK\r\n\r\n",
      "HTTP/1.1 2\r\n\r\n ",
      "HTTP/1.1 200 O\0K\r\n\r\n",
      "HTTP/1.1 200 OK\n\r\n",
      "HTTP/1.1 200 OK\r\r\n\r\n",
      "http/1.1 200 OK\r\n\r\n",
      " HTTP/1.1 200 OK\r\n\r\n",
      "\r\nHTTP/1.1 200 OK\r\n\r\n",
      "ICY 200 OK\r\n\r\n",
      `${ok}A : b\r\n\r\n`,
      `${ok}A\t: b\r\n\r\n`,
      `${ok} folded: b\r\n\r\n`,
      `${ok}A: b\r\n c\r\n\r\n`,
      `${ok}A: b\r\n\tc\r\n\r\n`,
      `${ok}A: b\nB: c\r\n\r\n`,
      `${ok}A: b\rB: c\r\n\r\n`,
      `${ok}A: b\r\r\n\r\n`,
      `${ok}A: b\0\r\n\r\n`,
      `${ok}A: b\x7f\r\n\r\n`,
      `${ok}A: b\x0b\r\n\r\n`,
      `${ok}A\0: b\r\n\r\n`,
      `${ok}\xe4: b\r\n\r\n`,
      `${ok}: b\r\n\r\n`,
      `${ok}no colon\r\n\r\n`,
      `${ok}nocolon\r\n\r\n`,
      `${ok}A: b\n\n`,
      `${ok}A: b\r\n\n`,
      `${ok}A: b\r\n\r\r\n`,
    ]
  ) {
    for (const pieces of [[bytesOf(text)], singly(text)]) {
      assert.throws(
        () => read(text, pieces),
        Malformed,
        JSON.stringify(text),
      );
    }
  }
});

Deno.test("HeadReader detects by the first bytes what is not HTTP", () => {
  // A backend that says something else and keeps its connection open was waited
  // for until the time limit.
  for (const text of ["SSH-2.0-OpenSSH", "\x16\x03\x01", "HTTP/3", "\n"]) {
    assert.throws(() => read(text), Malformed, text);
    assert.throws(() => read(text, singly(text)), Malformed, text);
  }
  assert.equal(read("HTTP/1.").whole, false);
});

Deno.test("HeadReader skips interim responses, up to 64 KB", () => {
  const early = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n";
  const last = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
  const most = Math.floor((64 * 1024 - last.length) / early.length);
  const text = early.repeat(most) + last;
  for (const pieces of [undefined, singly(text)]) {
    const { heads } = read(text, pieces);
    assert.deepEqual(heads, [{ status: 200, minor: 1, fields: [["a", "b"]] }]);
    assert.throws(() => read(early + text, pieces && singly(early + text)));
  }
  // So much for each response, not for each connection.
  const reader = new HeadReader();
  for (let i = 0; i < 2; i++) {
    reader.push(bytesOf(text));
    assert.equal(reader.take().status, 200);
  }
});

Deno.test("HeadReader takes heads of 64 KB and 1,000 fields, and no more", () => {
  const line = "HTTP/1.1 200 OK\r\n";
  const long = (size: number) =>
    `${line}A: ${"x".repeat(size - line.length - 7)}\r\n\r\n`;
  assert.equal(long(MAX_HEAD).length, MAX_HEAD);
  const many = (count: number) => `${line}${"a:b\r\n".repeat(count)}\r\n`;
  for (const cut of [false, true]) {
    const pieces = (text: string) => cut ? singly(text) : [bytesOf(text)];
    const whole = (text: string) => read(text, pieces(text)).whole;
    assert.ok(whole(long(MAX_HEAD)));
    assert.throws(() => whole(long(MAX_HEAD + 1)), Malformed);
    assert.ok(whole(many(MAX_FIELDS)));
    assert.throws(() => whole(many(MAX_FIELDS + 1)), Malformed);
    // A line that does not end is refused when it is too long, not when it ends.
    assert.throws(
      () => whole(`${line}A: ${"x".repeat(MAX_HEAD)}`),
      Malformed,
    );
  }
});

Deno.test("HeadReader reads one head after the other", () => {
  const reader = new HeadReader();
  const bytes = bytesOf(
    "HTTP/1.1 200 OK\r\nA: b\r\n\r\nHTTP/1.0 404 No\r\n\r\n",
  );
  const first = reader.push(bytes);
  assert.deepEqual(reader.take().fields, [["a", "b"]]);
  assert.equal(reader.push(bytes, first), bytes.length);
  assert.deepEqual(reader.take(), { status: 404, minor: 0, fields: [] });
});

Deno.test("HeadReader reads the same in whatever pieces a head comes", () => {
  const random = seeded(15);
  const pick = (texts: readonly string[]) =>
    texts[Math.floor(random() * texts.length)]!;
  const outcome = (text: string, pieces?: Uint8Array<ArrayBuffer>[]) => {
    try {
      return JSON.stringify(read(text, pieces));
    } catch (error) {
      assert.ok(error instanceof Malformed, String(error));
      return "malformed";
    }
  };
  let refused = 0;
  for (let i = 0; i < 3_000; i++) {
    let text = random() < 0.2 ? "HTTP/1.1 103 X\r\n\r\n" : "";
    text += pick(["HTTP/1.1 200 OK\r\n", "HTTP/1.0 404\r\n", "HTTP/1.1 101 "]);
    while (random() < 0.8) {
      text += pick(["A", "X-Y", "content-length", "\xe4", ""]) +
        pick([":", ": ", " :", ":\t ", ""]) +
        pick(["", "b", "b c\t", "\xff", "1,1", "\x01", ":,:", "\r", "\n"]) +
        pick(["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r"]);
    }
    text += pick(["\r\n", "\r\n", "\r\n\r\n", "", "\r"]) + pick(["", "rest"]);
    // What is wrong in a line that comes in pieces is seen when it ends.
    text += "\n";
    const whole = outcome(text);
    if (whole === "malformed") refused++;
    for (let cut = 0; cut < 3; cut++) {
      const pieces = cutAtRandom(bytesOf(text), random);
      assert.equal(outcome(text, pieces), whole, JSON.stringify(text));
    }
  }
  assert.ok(refused > 300 && refused < 2_700, `${refused} of 3000 refused`);
});

Deno.test("HeadReader takes linear time, whatever a head is made of", () => {
  // One line of a backend's, matched by an expression with three repetitions
  // side by side, kept the whole process busy for as long as an hour.
  const status = "HTTP/1.1 200 OK\r\n";
  const shapes: [string, (size: number) => string][] = [
    ["spaces, then an invalid byte", (n) => `${status}X:${" ".repeat(n)}\x7f`],
    ["a value with spaces in it", (n) => `${status}X: a${" ".repeat(n)}b\r\n`],
    ["spaces behind a value", (n) => `${status}X: a${" ".repeat(n)}\r\n`],
    ["commas", (n) => `${status}Connection: ${",".repeat(n)}\r\n`],
    ["colons", (n) => `${status}X${":".repeat(n)}\r\n`],
    ["a long name", (n) => `${status}${"x".repeat(n)}`],
    ["a long reason", (n) => `HTTP/1.1 200 ${" ".repeat(n)}\r\n`],
    ["bytes past ASCII", (n) => `${status}X: ${"\xe4".repeat(n)}\r\n`],
    ["carriage returns", (n) => `${status}X: ${"\r".repeat(n)}`],
    ["many lines", (n) => status + "a:b\r\n".repeat(n / 16)],
  ];
  for (const [what, make] of shapes) {
    for (const size of [1, 7, Infinity]) {
      growsLinearly(`${what}, ${size} at a time`, 8_000, (n) => {
        const bytes = bytesOf(make(n));
        return () => {
          const reader = new HeadReader();
          try {
            for (let at = 0; at < bytes.length; at += size) {
              reader.push(bytes.subarray(at, at + size));
            }
          } catch (error) {
            assert.ok(error instanceof Malformed);
          }
        };
      });
    }
  }
});

Deno.test("HeadReader takes any spelling of a frequent name, and its neighbours for themselves", () => {
  const names = ["Content-Type", "CONTENT-LENGTH", "x-Frame-options", "DatE"];
  // The same length, first and last byte as a frequent name.
  const others = ["Content_Type", "Content-Lengah", "x-Frame-optiöns", "Dxte"];
  for (const name of [...names, others[0]!, others[1]!, others[3]!]) {
    const reader = new HeadReader();
    const head = bytesOf(`HTTP/1.1 200 OK\r\n${name}: Value\r\n\r\n`);
    assert.equal(reader.push(head), head.length);
    assert.deepEqual(reader.take().fields, [[name.toLowerCase(), "Value"]]);
  }
  const refused = bytesOf(`HTTP/1.1 200 OK\r\n${others[2]}: Value\r\n\r\n`);
  assert.throws(() => new HeadReader().push(refused), Malformed);
});
