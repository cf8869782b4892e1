import assert from "node:assert/strict"; // built in to both runtimes
import { Backend } from "../balancer.ts";
import type { Settled } from "../proxy/observed.ts";
import { accessLine } from "./log.ts";

const backend = new Backend({ url: "http://10.0.0.5:3000" });
const NOW = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

function settled(
  more: Partial<Settled> = {},
  headers: HeadersInit = {},
): Settled {
  return {
    client: "192.0.2.7",
    method: "GET",
    target: "/a?key=secret",
    status: 200,
    bytes: 12,
    ms: 1000.00049,
    backend,
    attempts: [{
      backend,
      startedAt: 0,
      ms: 2.5,
      outcome: "200",
      spanId: undefined,
    }],
    requestId: undefined,
    traceId: undefined,
    request: new Request("http://example.com/", { headers }),
    ...more,
  };
}

Deno.test("accessLine() writes all fields as JSON, at the time the request came", () => {
  assert.deepEqual(
    JSON.parse(accessLine(settled(), NOW, { format: "json", query: true })),
    {
      time: "2026-01-02T03:04:04.677Z",
      client: "192.0.2.7",
      method: "GET",
      target: "/a?key=secret",
      status: 200,
      bytes: 12,
      durationMs: 1000,
      backend: "http://10.0.0.5:3000",
      attempts: [{
        backend: "http://10.0.0.5:3000",
        durationMs: 2.5,
        outcome: "200",
      }],
    },
  );
  const traced = settled({
    requestId: "req-12345",
    traceId: "f".repeat(32),
    backend: undefined,
    attempts: [],
  });
  const line = JSON.parse(
    accessLine(traced, NOW, { format: "json", query: true }),
  );
  assert.equal(line.requestId, "req-12345");
  assert.equal(line.traceId, "f".repeat(32));
  assert.equal(line.backend, null);
});

Deno.test("accessLine() writes the combined format as Apache does", () => {
  const line = accessLine(
    settled({ ms: 678 }, { referer: "http://r.test/x?y", "user-agent": "t/1" }),
    NOW,
    { format: "combined", query: true },
  );
  assert.equal(
    line,
    '192.0.2.7 - - [02/Jan/2026:03:04:05 +0000] "GET /a?key=secret HTTP/1.1" ' +
      '200 12 "http://r.test/x?y" "t/1"',
  );
});

Deno.test("accessLine() leaves queries out when told, the referer's too", () => {
  const one = settled({}, { referer: "http://r.test/x?y=secret#z" });
  for (const format of ["json", "combined"] as const) {
    const line = accessLine(one, NOW, { format, query: false });
    assert.ok(!line.includes("secret"), line);
    assert.ok(line.includes("/a"), line);
  }
});

Deno.test("accessLine() never holds credentials or cookies", () => {
  const one = settled({ target: "http://me:secret@h.test/x" }, {
    authorization: "Bearer secret",
    "proxy-authorization": "secret",
    cookie: "a=secret",
    referer: "http://me:secret@r.test/",
  });
  for (const format of ["json", "combined"] as const) {
    const line = accessLine(one, NOW, { format, query: true });
    assert.ok(!line.includes("secret"), line);
  }
});

const HOSTILE = [
  "\r\nGET / HTTP/1.1",
  "\x1b[2J\x1b]0;title\x07",
  '" 200 0 "-" "forged',
  "\\",
  "%s%n%d",
  "\u0085\u2028\u2029\x7f\x9b",
  "\ud800 alone",
  "<script>alert(1)</script>",
  "x".repeat(10_000),
];

Deno.test("accessLine() is one line of printable text, whatever is in it", () => {
  for (const text of HOSTILE) {
    const hostile = settled({
      client: text,
      method: text,
      target: `/${text}`,
      attempts: [{
        backend,
        startedAt: 0,
        ms: 1,
        outcome: text,
        spanId: undefined,
      }],
    });
    for (const format of ["json", "combined"] as const) {
      const line = accessLine(hostile, NOW, { format, query: true });
      // deno-lint-ignore no-control-regex -- they are what is looked for
      assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f\u2028\u2029]/);
      assert.ok(line.length < 16_384, "a collector would cut it");
      if (format === "json") {
        const kept = text.length > 256 ? `${text.slice(0, 256)}…` : text;
        assert.equal(JSON.parse(line).client, kept);
      } else {
        assert.match(
          line,
          /^\S+ - - \[[^\]]+\] "(?:[^"\\]|\\.)*" \d{3} \d+ "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"$/,
        );
      }
    }
  }
});
