import assert from "node:assert/strict";
import { parseAddress } from "../config/address.ts";
import { type Fields, RequestRules } from "./headers.ts";

/** Rules that trust the peer, or do not. */
function rules({ trusts = false }: { trusts?: boolean } = {}): RequestRules {
  return new RequestRules({
    trusts: trusts ? (address) => address.startsWith("192.0.2.") : undefined,
    isAddress: (text) => parseAddress(text) !== undefined,
    pseudonym: undefined,
  });
}

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

Deno.test("clientOrigin() uses a trusted proxy's scheme and host", () => {
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
