import assert from "node:assert/strict";
import { parseAddress } from "../config/address.ts";
import {
  type Fields,
  type RequestFacts,
  requestFacts,
  RequestRules,
} from "./headers.ts";

const FACTS: RequestFacts = {
  method: "GET",
  peer: "192.0.2.7",
  host: "a.test",
  scheme: "http",
  backendHost: "b.test",
  backendScheme: "http",
  basePath: "",
};

const OURS: Fields = [
  ["x-forwarded-for", "192.0.2.7"],
  ["x-forwarded-host", "a.test"],
  ["x-forwarded-proto", "http"],
];

/** Rules that trust the peer, or do not. */
function rules({ trusts = false, pseudonym }: {
  trusts?: boolean;
  pseudonym?: string;
} = {}): RequestRules {
  return new RequestRules({
    trusts: trusts ? (address) => address.startsWith("192.0.2.") : undefined,
    isAddress: (text) => parseAddress(text) !== undefined,
    pseudonym,
  });
}

/** What is sent on, but for what is always ours. */
function passes(sent: Fields, given = rules()): Fields {
  const ours = ["host", ...OURS.map(([name]) => name)];
  return given.fields(new Headers(sent), FACTS)
    .filter(([name]) => !ours.includes(name));
}

Deno.test("fields() sets Host, X-Forwarded-* and Via", () => {
  assert.deepEqual(rules().fields(new Headers(), FACTS), [
    ["host", "b.test"],
    ...OURS,
  ]);
});

Deno.test("fields() adds no address if there is none", () => {
  const fields = rules().fields(new Headers(), { ...FACTS, peer: undefined });
  assert.equal(fields.some(([name]) => name === "x-forwarded-for"), false);
});

const DROPPED: Fields = [
  ["Connection", "keep-alive"],
  ["Keep-Alive", "timeout=1"],
  ["Proxy-Connection", "close"],
  ["TE", "trailers"],
  ["Transfer-Encoding", "chunked"],
  ["Trailer", "x"],
  ["Upgrade", "h2c"],
  ["HTTP2-Settings", "x"],
  ["Expect", "100-continue"],
  ["Proxy", "http://evil"],
  ["Host", "evil"],
  ["Content-Length", "1"],
  ["Content_Length", "1"],
  ["Transfer_Encoding", "chunked"],
  ["Forwarded", "for=x"],
  ["X-Forwarded-For", "x"],
  ["X-Forwarded-Anything", "x"],
  ["X-Forwarded", "x"],
  ["X-Real-IP", "x"],
  ["X_Forwarded_For", "x"],
  ["X-Forwarded_Proto", "x"],
  ["X_Real_IP", "x"],
  ["Proxy-Authorization", "Basic x"],
  // CGI makes `_` of every character that is no letter or digit.
  ["X.Forwarded.For", "x"],
  ["X~Forwarded~For", "x"],
  ["X-Forwarded!Host", "x"],
  ["X*Forwarded", "x"],
  ["X|Real.IP", "x"],
  ["Content.Length", "1"],
  ["Transfer~Encoding", "chunked"],
  ["Proxy_Authorization", "Basic x"],
  ["Sluice_Debug", "1"],
];

Deno.test("fields() drops fields of one connection and untrusted forwarding fields", () => {
  for (const field of DROPPED) {
    assert.deepEqual(passes([field]), [], field[0]);
  }
});

Deno.test("fields() passes on everything else unchanged", () => {
  for (
    const [name, value] of [
      ["x-a", "b  c"],
      ["x-a", ""],
      ["x_a", "1"],
      ["cookie", "a=1; b=2"],
      ["authorization", "Basic x"],
      ["accept-encoding", "gzip"],
      ["range", "bytes=0-1"],
      ["max-forwards", "3"],
      ["x-forwarder", "1"],
      ["x-real-ipx", "1"],
      ["xforwarded.for", "1"],
      ["x--forwarded-for", "1"],
      ["content--length", "1"],
      ["contentxlength", "1"],
      ["from", "a@b"],
      ["if", "(<urn:x>)"],
      ["destination", "http://a.test/x"],
    ] as const
  ) assert.deepEqual(passes([[name, value]]), [[name, value]]);
});

const NAMED: [connection: string, gone: boolean][] = [
  ["x-a", true],
  ["X-A", true],
  ["keep-alive, X-a", true],
  [",, x-a ,", true],
  ["a b, (), x-a", true],
  ["x-ab", false],
  ["close", false],
  ["", false],
];

Deno.test("fields() drops what Connection names, in any spelling of the list", () => {
  for (const [connection, gone] of NAMED) {
    assert.deepEqual(
      passes([["x-a", "1"], ["connection", connection]]),
      gone ? [] : [["x-a", "1"]],
      connection,
    );
  }
});

Deno.test("fields() does not let Connection remove our fields (CVE-2024-45410)", () => {
  const named =
    "host, x-forwarded-for, x-forwarded-host, X-Forwarded-Proto, via, forwarded";
  const given = rules({ trusts: true, pseudonym: "sluice-1" });
  const fields = given.fields(
    new Headers([
      ["connection", named],
      ["x-forwarded-for", "1.2.3.4"],
      ["forwarded", "for=1.2.3.4"],
      ["via", "1.1 x"],
    ]),
    FACTS,
  );
  assert.deepEqual(fields, [
    ["host", "b.test"],
    ["forwarded", "for=1.2.3.4, for=192.0.2.7"],
    ["x-forwarded-for", "1.2.3.4, 192.0.2.7"],
    ["x-forwarded-host", "a.test"],
    ["x-forwarded-proto", "http"],
    ["via", "1.1 x, 1.1 sluice-1"],
  ]);
});

Deno.test("fields() trusts a trusted peer, but no alias with underscores", () => {
  const fields = rules({ trusts: true }).fields(
    new Headers([
      ["x-forwarded-for", "1.1.1.1, 2.2.2.2"],
      ["x_forwarded_for", "9.9.9.9"],
      ["x-forwarded-host", "outer.test"],
      ["x-forwarded-proto", "https"],
      ["x-forwarded-port", "443"],
      ["x-real-ip", "1.1.1.1"],
    ]),
    FACTS,
  );
  assert.deepEqual(fields, [
    ["host", "b.test"],
    ["x-forwarded-port", "443"],
    ["x-real-ip", "1.1.1.1"],
    ["x-forwarded-for", "1.1.1.1, 2.2.2.2, 192.0.2.7"],
    ["x-forwarded-host", "outer.test"],
    ["x-forwarded-proto", "https"],
  ]);
});

const COPIED: readonly Fields[] = [
  [],
  [["accept", "*/*"], ["cookie", "a=1; b=2"], ["user-agent", "a/1"]],
  [["set-cookie", "a=1"], ["set-cookie", "b=2"], ["x-a", ""]],
  [["x-a", "1"], ["x-a", "2"], ["x-forwarder", "1"], ["from", "a@b"]],
  [["connection", "keep-alive"], ["x-a", "1"]],
  [["connection", "close"], ["max-forwards", "3"]],
  DROPPED,
  [["x_a", "1"], ["x.b", "2"]],
];

/** All entries, sorted by name. */
function entriesOf(fields: Headers | Fields | undefined): Fields {
  return [...new Headers(fields)].toSorted();
}

Deno.test("copied() equals fields() if it returns a result", () => {
  for (const sent of COPIED) {
    for (const facts of [FACTS, { ...FACTS, peer: undefined }]) {
      for (const given of [rules(), rules({ pseudonym: "sluice-1" })]) {
        const headers = new Headers(sent);
        const before = [...headers];
        const copied = given.copied(headers, facts);
        assert.notEqual(copied, undefined, JSON.stringify(sent));
        assert.deepEqual(
          entriesOf(copied),
          entriesOf(given.fields(headers, facts)),
        );
        // It is the client's, and the log's.
        assert.deepEqual([...headers], before);
      }
    }
  }
});

Deno.test("copied() returns nothing for an unusual request", () => {
  const unusual: Fields = [
    ["connection", "x-a"],
    ["connection", "keep-alive, x-a"],
    ["connection", "Keep-Alive"],
    ["via", "1.1 a"],
    ["if", "(<urn:x>)"],
    ["destination", "/x"],
  ];
  const given = rules({ pseudonym: "sluice-1" });
  const move = { ...FACTS, method: "MOVE" };
  for (const field of unusual) {
    assert.equal(given.copied(new Headers([field]), move), undefined);
  }
  const trusting = rules({ trusts: true });
  assert.equal(trusting.copied(new Headers(), FACTS), undefined);
  assert.notEqual(
    trusting.copied(new Headers(), { ...FACTS, peer: "198.51.100.1" }),
    undefined,
  );
});

Deno.test("fields() writes a v6 address in Forwarded in quotes (RFC 7239 §6)", () => {
  const given = new RequestRules({ trusts: () => true, pseudonym: undefined });
  const fields = given.fields(new Headers([["forwarded", "for=x"]]), {
    ...FACTS,
    peer: "2001:db8::1",
  });
  assert.deepEqual(fields[1], [
    "forwarded",
    'for=x, for="[2001:db8::1]"',
  ]);
});

Deno.test("fields() adds Via only where it has a name for it", () => {
  assert.deepEqual(passes([["via", "1.0 x"]]), [["via", "1.0 x"]]);
  const given = rules({ pseudonym: "sluice-1" });
  assert.deepEqual(passes([], given), [["via", "1.1 sluice-1"]]);
  assert.deepEqual(passes([["via", "1.0 x"]], given), [
    ["via", "1.0 x, 1.1 sluice-1"],
  ]);
});

Deno.test("loops() knows its own name in Via and no other", () => {
  const given = rules({ pseudonym: "sluice-1" });
  const loops = (via: string) => given.loops(new Headers([["via", via]]));
  assert.equal(loops("1.1 sluice-1"), true);
  assert.equal(loops("1.0 x, 1.1 sluice-1 (y), 1.1 z"), true);
  assert.equal(loops("1.1 sluice-2"), false);
  assert.equal(given.loops(new Headers()), false);
  assert.equal(rules().loops(new Headers([["via", "1.1 sluice-1"]])), false);
});

const TOLD: [
  hostHeader: "auto" | "preserve" | "backend",
  origin: string,
  host: string | undefined,
  told: string,
][] = [
  ["auto", "http://b.test", "a.test", "a.test"],
  ["auto", "https://b.test", "a.test", "b.test"],
  ["preserve", "https://b.test", "a.test", "a.test"],
  ["backend", "http://b.test", "a.test", "b.test"],
  // A client of HTTP/1.0 names none.
  ["auto", "http://b.test", undefined, "b.test"],
  ["preserve", "http://b.test", undefined, "b.test"],
];

Deno.test("requestFacts() selects the client's Host or the backend's", () => {
  for (const [hostHeader, origin, host, told] of TOLD) {
    const facts = requestFacts(
      {
        method: "GET",
        fields: new Headers(),
        peer: "::1",
        host,
        scheme: "http",
      },
      { origin, ownOrigin: origin, authority: "b.test", basePath: "/x" },
      hostHeader,
    );
    assert.equal(facts.backendHost, told);
    assert.equal(facts.backendScheme, origin.split(":")[0]);
    assert.equal(facts.basePath, "/x");
    const fields = rules().fields(new Headers(), facts);
    assert.equal(
      fields.find(([name]) => name === "x-forwarded-host")?.[1],
      host,
    );
  }
});

Deno.test("fields() maps the Destination of COPY and MOVE, and If, for the backend", () => {
  const given = rules({ trusts: true });
  const facts = { ...FACTS, method: "MOVE", basePath: "/base" };
  const mapped = (name: string, value: string, more: Fields = []) =>
    given.fields(new Headers([[name, value], ...more]), facts)
      .find(([known]) => known === name)?.[1];
  assert.equal(
    mapped("destination", "http://a.test/b"),
    "http://b.test/base/b",
  );
  assert.equal(
    mapped("destination", "https://front.test/b", [
      ["x-forwarded-proto", "https"],
      ["x-forwarded-host", "front.test"],
    ]),
    "http://b.test/base/b",
  );
  assert.equal(
    mapped("if", "<http://a.test/b> (<urn:x>)"),
    "<http://b.test/base/b> (<urn:x>)",
  );
});
