import assert from "node:assert/strict";
import {
  addressList,
  duration,
  type Grammar,
  host,
  integer,
  isToken,
  MAX_TIMER_MS,
  oneOf,
  onOff,
  orOff,
  path,
  policy,
  port,
  rate,
  secret,
  share,
  size,
  statusList,
} from "./grammar.ts";

const REFUSED = Symbol();

/** Cases of one grammar: a text, and its value or that it is refused. */
const CASES: [name: string, grammar: Grammar<unknown>, [string, unknown][]][] =
  [
    ["duration()", duration("0s", "24h"), [
      ["500ms", 500],
      ["5s", 5_000],
      ["2m", 120_000],
      ["24h", 86_400_000],
      ["0s", 0],
      ["25h", REFUSED],
      ["5", REFUSED],
      ["0", REFUSED],
      ["5S", REFUSED],
      ["1.5s", REFUSED],
      ["-1s", REFUSED],
      ["s", REFUSED],
      ["5s 5s", REFUSED],
      ["5constructor", REFUSED],
    ]],
    ["size()", size("1B", "1GB"), [
      ["1B", 1],
      ["64KB", 65_536],
      ["10MB", 10_485_760],
      ["1GB", 1_073_741_824],
      ["0B", REFUSED],
      ["2GB", REFUSED],
      ["64kb", REFUSED],
      ["64KiB", REFUSED],
      ["64", REFUSED],
    ]],
    ["share", share, [
      ["20%", 0.2],
      ["0%", 0],
      ["100%", 1],
      ["100.1%", REFUSED],
      ["20", REFUSED],
      ["%", REFUSED],
    ]],
    ["integer()", integer(1, 10), [
      ["1", 1],
      ["10", 10],
      ["0", REFUSED],
      ["11", REFUSED],
      ["1.0", REFUSED],
      ["1e0", REFUSED],
      ["0x1", REFUSED],
      ["", REFUSED],
      [" 1", REFUSED],
    ]],
    ["rate", rate, [
      ["50/s", { requests: 50, perMs: 1_000 }],
      ["1000/m", { requests: 1_000, perMs: 60_000 }],
      ["1/h", { requests: 1, perMs: 3_600_000 }],
      ["1000000/s", { requests: 1_000_000, perMs: 1_000 }],
      ["1000001/s", REFUSED],
      ["0/s", REFUSED],
      ["50", REFUSED],
      ["50/d", REFUSED],
      ["50/ms", REFUSED],
      ["5.5/s", REFUSED],
      ["-5/s", REFUSED],
      ["50 /s", REFUSED],
      ["50/s/m", REFUSED],
    ]],
    ["port", port, [["0", 0], ["65535", 65535], ["65536", REFUSED], [
      "-1",
      REFUSED,
    ]]],
    ["onOff", onOff, [["on", true], ["off", false], ["On", REFUSED], [
      "1",
      REFUSED,
    ]]],
    ["orOff()", orOff(oneOf("a", "b")), [["a", "a"], ["off", false], [
      "c",
      REFUSED,
    ]]],
    ["host", host, [
      ["0.0.0.0", "0.0.0.0"],
      ["::", "::"],
      ["[::1]", "::1"],
      ["Local-Host.test", "local-host.test"],
      ["1.2.3", REFUSED],
      ["01.2.3.4", REFUSED],
      ["a b", REFUSED],
      ["-a", REFUSED],
      ["a:80", REFUSED],
      ["10.0.0.0/32", REFUSED],
      ["fe80::1%eth0", REFUSED],
    ]],
    ["path", path, [
      ["/", "/"],
      ["/health?a=b/c?d", "/health?a=b/c?d"],
      ["health", REFUSED],
      ["//a", REFUSED],
      ["/a/../b", REFUSED],
      ["/a#b", REFUSED],
      ["/ä", REFUSED],
      ["/a?b=c d", REFUSED],
    ]],
    ["statusList", statusList, [
      ["200", "200"],
      ["200-399,404", "200-399,404"],
      ["200-200", "200-200"],
      ["200 - 299", REFUSED],
      ["200,", REFUSED],
      ["99", REFUSED],
      ["600", REFUSED],
      ["300-200", REFUSED],
    ]],
    ["addressList", addressList, [
      ["loopback,private", ["loopback", "private"]],
      ["10.0.0.1 , ::1", ["10.0.0.1", "::1"]],
      ["10.0.0.0/8 fc00::/7", ["10.0.0.0/8", "fc00::/7"]],
      ["::ffff:10.0.0.0/104", ["::ffff:10.0.0.0/104"]],
      ["10.0.0.0/", REFUSED],
      ["10.0.0.0/8/8", REFUSED],
      ["10.0.0/24", REFUSED],
      ["[::1]", REFUSED],
      ["::1/129", REFUSED],
      ["localhost", REFUSED],
      [",", REFUSED],
    ]],
    ["policy", policy, [
      ["p2c", "p2c"],
      ["header:X-User", "header:X-User"],
      ["cookie:sid", "cookie:sid"],
      ["sticky:lb", "sticky:lb"],
      ["Round_Robin", REFUSED],
      ["header", REFUSED],
      ["header:a:b", REFUSED],
      ["sticky:", REFUSED],
    ]],
    ["secret", secret, [
      ["0123456789abcdef", "0123456789abcdef"],
      ["0123456789abcde", REFUSED],
      ["0123456789abcde\u00e9", REFUSED],
      ["x".repeat(513), REFUSED],
    ]],
  ];

for (const [name, grammar, cases] of CASES) {
  Deno.test(`${name} reads what it takes and refuses the rest`, () => {
    for (const [text, expected] of cases) {
      const result = grammar.parse(text);
      const found = "value" in result ? result.value : REFUSED;
      assert.deepEqual(found, expected, JSON.stringify(text));
    }
  });
}

Deno.test("duration() refuses a bound that is too long for a timer", () => {
  assert.equal(MAX_TIMER_MS, 2_147_483_647);
  assert.throws(() => duration("1s", "597h"), RangeError);
  assert.throws(() => duration("2s", "1s"), RangeError);
});

Deno.test("duration() proposes a unit only if the result is valid", () => {
  const wanted = (text: string) => {
    const result = duration("1s", "1m").parse(text);
    return "wanted" in result ? result.wanted : "";
  };
  assert.match(wanted("5"), /such as 5s$/);
  assert.match(wanted("5000"), /such as 500ms, 5s, 2m or 1h$/);
});

Deno.test("isToken() follows RFC 9110 §5.6.2", () => {
  assert.ok(isToken("X-a.b_c~1!#$%&'*+^`|"));
  for (const text of ["", "a b", "a:b", 'a"', "a/b", "é", "a\n"]) {
    assert.ok(!isToken(text), JSON.stringify(text));
  }
});
