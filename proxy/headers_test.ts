import assert from "node:assert/strict";
import { parseAddress } from "../config/address.ts";
import {
  type Fields,
  type RequestFacts,
  requestFacts,
  RequestRules,
  responseFields,
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

Deno.test("fields() says Host anew and who asked, for whom and how", () => {
  assert.deepEqual(rules().fields(new Headers(), FACTS), [
    ["host", "b.test"],
    ...OURS,
  ]);
});

Deno.test("fields() says no address where there is none", () => {
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

Deno.test("fields() drops what concerns one connection or comes from a stranger", () => {
  for (const field of DROPPED) {
    assert.deepEqual(passes([field]), [], field[0]);
  }
});

Deno.test("fields() passes on everything else as it is", () => {
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

Deno.test("fields() drops what Connection names, whatever stands round it", () => {
  for (const [connection, gone] of NAMED) {
    assert.deepEqual(
      passes([["x-a", "1"], ["connection", connection]]),
      gone ? [] : [["x-a", "1"]],
      connection,
    );
  }
});

Deno.test("fields() lets Connection name nothing of ours away (CVE-2024-45410)", () => {
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

Deno.test("fields() believes a trusted peer, but no alias with underscores", () => {
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

Deno.test("copied() says exactly what fields() says, where it says anything", () => {
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

Deno.test("copied() leaves whatever is unusual to fields()", () => {
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

const CLIENTS: [
  forwardedFor: string | undefined,
  peer: string | undefined,
  client: string,
][] = [
  [undefined, undefined, "-"],
  [undefined, "192.0.2.7", "192.0.2.7"],
  ["1.1.1.1", "192.0.2.7", "1.1.1.1"],
  // As far as trust goes, from the right.
  ["9.9.9.9, 1.1.1.1", "192.0.2.7", "1.1.1.1"],
  ["9.9.9.9, 1.1.1.1, 192.0.2.8", "192.0.2.7", "1.1.1.1"],
  ["192.0.2.9, 192.0.2.8", "192.0.2.7", "192.0.2.9"],
  ["[2001:db8::1]:80", "192.0.2.7", "2001:db8::1"],
  ["1.1.1.1:80", "192.0.2.7", "1.1.1.1"],
  [", ", "192.0.2.7", "192.0.2.7"],
  ["", "192.0.2.7", "192.0.2.7"],
  // Left of what is no address anything may have been made up.
  ["unknown", "192.0.2.7", "192.0.2.7"],
  ["1.1.1.1, unknown", "192.0.2.7", "192.0.2.7"],
  ["1.1.1.1, _hidden, 192.0.2.8", "192.0.2.7", "192.0.2.8"],
  ['evil"} {"client":"x', "192.0.2.7", "192.0.2.7"],
  ["1.1.1.1,,192.0.2.8", "192.0.2.7", "192.0.2.8"],
  [`${"1".repeat(200)}`, "192.0.2.7", "192.0.2.7"],
  ["192.0.2.8:5678, [2001:db8::1]:80", "192.0.2.7", "2001:db8::1"],
  // A stranger may say what it likes.
  ["1.1.1.1", "203.0.113.1", "203.0.113.1"],
];

Deno.test("clientAddress() reads the list as far as trust goes", () => {
  const given = rules({ trusts: true });
  for (const [list, peer, client] of CLIENTS) {
    const headers = new Headers(
      list === undefined ? [] : [["x-forwarded-for", list]],
    );
    assert.equal(given.clientAddress(headers, peer), client, `${list}`);
  }
  assert.equal(
    rules().clientAddress(new Headers([["x-forwarded-for", "x"]]), "::1"),
    "::1",
  );
});

const ANSWER = {
  ownOrigin: "http://10.0.0.1:3000",
  backendScheme: "http",
  backendHost: "b.test",
  basePath: "",
  client: { scheme: "https", host: "a.test" },
  added: undefined,
};

const ORIGINS: [
  promise: string,
  said: Fields,
  peer: string | undefined,
  origin: string,
][] = [
  ["nothing said", [], "192.0.2.7", "http://a.test"],
  [
    "a proxy that ends TLS",
    [
      ["x-forwarded-proto", "https"],
      ["x-forwarded-host", "front.test:8443"],
    ],
    "192.0.2.7",
    "https://front.test:8443",
  ],
  [
    "the first of a list",
    [
      ["x-forwarded-proto", "https, http"],
      ["x-forwarded-host", " front.test , inner.test"],
    ],
    "192.0.2.7",
    "https://front.test",
  ],
  [
    "a scheme that is none",
    [
      ["x-forwarded-proto", "javascript"],
    ],
    "192.0.2.7",
    "http://a.test",
  ],
  [
    "a scheme and more",
    [
      ["x-forwarded-proto", "https://evil.test"],
    ],
    "192.0.2.7",
    "http://a.test",
  ],
  [
    "a host that is none",
    [
      ["x-forwarded-host", "evil.test/a?"],
    ],
    "192.0.2.7",
    "http://a.test",
  ],
  ["an empty host", [["x-forwarded-host", ""]], "192.0.2.7", "http://a.test"],
  [
    "userinfo",
    [
      ["x-forwarded-host", "a.test@evil.test"],
    ],
    "192.0.2.7",
    "http://a.test",
  ],
  [
    "a stranger",
    [
      ["x-forwarded-proto", "https"],
      ["x-forwarded-host", "evil.test"],
    ],
    "203.0.113.1",
    "http://a.test",
  ],
  [
    "no peer at all",
    [["x-forwarded-proto", "https"]],
    undefined,
    "http://a.test",
  ],
];

Deno.test("clientOrigin() believes a trusted proxy that names a scheme and a host", () => {
  // Behind a front that ends TLS, redirects led the client to `http:`.
  const given = rules({ trusts: true });
  for (const [promise, said, peer, origin] of ORIGINS) {
    const { scheme, host } = given.clientOrigin(new Headers(said), {
      peer,
      scheme: "http",
      host: "a.test",
    });
    assert.equal(`${scheme}://${host}`, origin, promise);
    assert.equal(
      given.clientScheme(new Headers(said), peer, "http"),
      scheme,
      promise,
    );
  }
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

Deno.test("requestFacts() tells a backend the client's Host or its own", () => {
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

Deno.test("responseFields() leaves alone what needs no change", () => {
  const headers = new Headers([["x-a", "1"], ["location", "/b"]]);
  assert.deepEqual(responseFields(headers, ANSWER), [...headers]);
});

Deno.test("responseFields() drops what concerns the backend's connection", () => {
  const headers = new Headers([
    ["connection", "x-a, Content-Length, close"],
    ["keep-alive", "timeout=5"],
    ["proxy-authenticate", "Basic"],
    ["proxy-authentication-info", "x"],
    ["proxy-connection", "close"],
    ["te", "x"],
    ["trailer", "x"],
    ["upgrade", "h2c"],
    ["x-a", "1"],
    ["content-length", "3"],
    ["x-b", "2"],
  ]);
  assert.deepEqual(responseFields(headers, ANSWER), [
    ["content-length", "3"],
    ["x-b", "2"],
  ]);
});

Deno.test("responseFields() lets no length stand beside a transfer coding (RFC 9112 §6.3)", () => {
  const headers = new Headers([
    ["content-length", "3"],
    ["transfer-encoding", "chunked"],
    ["x-b", "2"],
  ]);
  assert.deepEqual(responseFields(headers, ANSWER), [["x-b", "2"]]);
});

Deno.test("responseFields() keeps several Set-Cookie several", () => {
  const headers = new Headers([
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2, c"],
    ["connection", "close"],
  ]);
  assert.deepEqual(responseFields(headers, ANSWER), [
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2, c"],
  ]);
});

Deno.test("responseFields() adds what it is given", () => {
  assert.deepEqual(
    responseFields(new Headers([["x-a", "1"]]), {
      ...ANSWER,
      added: [["x-request-id", "r"]],
    }),
    [["x-a", "1"], ["x-request-id", "r"]],
  );
});

Deno.test("responseFields() lets the backend's field give way to ours of that name", () => {
  // With REQUEST_ID the client got two ids when the backend sent its own.
  const fields = responseFields(
    new Headers([
      ["x-request-id", "theirs"],
      ["set-cookie", "a=1"],
      ["server-timing", "db"],
    ]),
    {
      ...ANSWER,
      added: [
        ["set-cookie", "srv=1"],
        ["server-timing", "sluice"],
        ["x-request-id", "ours"],
      ],
    },
  );
  assert.deepEqual(fields, [
    ["server-timing", "db"],
    ["set-cookie", "a=1"],
    ["set-cookie", "srv=1"],
    ["server-timing", "sluice"],
    ["x-request-id", "ours"],
  ]);
});

Deno.test("responseFields() maps what names the backend's origin or base path", () => {
  const fields = responseFields(
    new Headers([
      ["content-location", "http://10.0.0.1:3000/base/b"],
      ["location", "/base/c"],
      ["set-cookie", "a=1; Path=/base"],
      ["set-cookie", "b=2; Path=/base/d"],
      ["refresh", "0; url=http://10.0.0.1:3000/base/b"],
    ]),
    { ...ANSWER, basePath: "/base" },
  );
  assert.deepEqual(fields, [
    ["content-location", "https://a.test/b"],
    ["location", "/c"],
    ["refresh", "0; url=http://10.0.0.1:3000/base/b"],
    ["set-cookie", "a=1; Path=/"],
    ["set-cookie", "b=2; Path=/d"],
  ]);
});
