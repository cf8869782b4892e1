import assert from "node:assert/strict";
import {
  cookieForClient,
  forBackend,
  isMapped,
  locationForClient,
  type Sides,
} from "./mapping.ts";

const SIDES: Sides = {
  ownOrigin: "http://10.0.0.1:3000",
  backendScheme: "http",
  backendHost: "told.test",
  basePath: "",
  client: { scheme: "https", host: "a.test" },
};

const LOCATIONS: [basePath: string, says: string, gets: string][] = [
  ["", "http://10.0.0.1:3000/b?c#d", "https://a.test/b?c#d"],
  ["", "HTTP://10.0.0.1:3000/b", "https://a.test/b"],
  ["", "http://10.0.0.1:3000", "https://a.test"],
  ["", "http://10.0.0.1:3000?b", "https://a.test?b"],
  ["", "http://10.0.0.1:30001/b", "http://10.0.0.1:30001/b"],
  ["", "http://10.0.0.1:3000.evil/b", "http://10.0.0.1:3000.evil/b"],
  ["", "http://10.0.0.1:3000@evil/b", "http://10.0.0.1:3000@evil/b"],
  ["", "http://10.0.0.1:3000\\@evil/b", "http://10.0.0.1:3000\\@evil/b"],
  ["", "https://10.0.0.1:3000/b", "https://10.0.0.1:3000/b"],
  ["", "//10.0.0.1:3000/b", "https://a.test/b"],
  ["", "/b", "/b"],
  ["", "b", "b"],
  ["", "", ""],
  // By the `Host` that it was sent, under the scheme that it was asked with.
  ["", "http://told.test/b", "https://a.test/b"],
  ["", "http://Told.test:80/b", "https://a.test/b"],
  ["", "https://told.test/b", "https://told.test/b"],
  // What is the client's own already is not spelt anew.
  ["", "https://A.test:443/b", "https://A.test:443/b"],
  ["", "http://a.test/b", "http://a.test/b"],
  ["/app", "http://10.0.0.1:3000/app/b", "https://a.test/b"],
  ["/app", "http://10.0.0.1:3000/app", "https://a.test"],
  ["/app", "http://10.0.0.1:3000/app?b", "https://a.test?b"],
  ["/app", "http://10.0.0.1:3000/apple", "http://10.0.0.1:3000/apple"],
  ["/app", "http://10.0.0.1:3000/b", "http://10.0.0.1:3000/b"],
  ["/app", "http://told.test/app/b", "https://a.test/b"],
  ["/app", "https://a.test/app/b", "https://a.test/b"],
  ["/app", "https://a.test/b", "https://a.test/b"],
  ["/app", "/app/b", "/b"],
  ["/app", "/app", "/"],
  ["/app", "/app?b", "/?b"],
  ["/app", "/app#b", "/#b"],
  ["/app", "/apple", "/apple"],
  ["/app", "/app\\b", "/app\\b"],
  ["/app", "/b", "/b"],
  ["/app", "b", "b"],
  ["/app", "http://other.test/app/b", "http://other.test/app/b"],
];

Deno.test("locationForClient() maps only URLs of the backend", () => {
  for (const [basePath, says, gets] of LOCATIONS) {
    assert.equal(locationForClient(says, { ...SIDES, basePath }), gets, says);
  }
});

const DEFAULT_PORTS: [own: string, says: string, gets: string][] = [
  ["http://b.test", "http://b.test:80/x", "https://a.test/x"],
  ["http://b.test", "http://b.test:/x", "https://a.test/x"],
  ["http://b.test:80", "http://b.test/x", "https://a.test/x"],
  ["https://b.test", "https://b.test:443/x", "https://a.test/x"],
  ["https://b.test", "https://b.test:80/x", "https://b.test:80/x"],
  ["http://b.test", "http://b.test:443/x", "http://b.test:443/x"],
  ["http://b.test", "http://b.test:8080/x", "http://b.test:8080/x"],
  ["http://[::1]", "http://[::1]:80/x", "https://a.test/x"],
  ["http://[::80]", "http://[::80]/x", "https://a.test/x"],
];

Deno.test("locationForClient() takes a default port for none", () => {
  // A backend on port 80 that wrote the port sent the client past the proxy.
  for (const [ownOrigin, says, gets] of DEFAULT_PORTS) {
    assert.equal(locationForClient(says, { ...SIDES, ownOrigin }), gets, says);
  }
});

Deno.test("locationForClient() takes a host without a scheme for the backend's", () => {
  const sides = { ...SIDES, basePath: "/api" };
  for (
    const [says, gets] of [
      ["//10.0.0.1:3000/api/x", "https://a.test/x"],
      ["//other.test/api/x", "//other.test/api/x"],
    ]
  ) {
    assert.equal(locationForClient(says!, sides), gets);
  }
});

/** What is left without the base path would name another host. */
const REDIRECTS: [says: string, gets: string][] = [
  ["/api//evil.test/", "https://a.test//evil.test/"],
  ["/api///evil.test/", "https://a.test///evil.test/"],
  ["/api/\\evil.test/", "https://a.test/\\evil.test/"],
  ["/api/\t/evil.test/", "https://a.test/\t/evil.test/"],
  ["/api/\t\\evil.test/", "https://a.test/\t\\evil.test/"],
  ["/api/ /evil.test/", "https://a.test/ /evil.test/"],
  ["http://10.0.0.1:3000/api//evil.test", "https://a.test//evil.test"],
];

Deno.test("locationForClient() makes no open redirect of a path", () => {
  // `/api//evil.test` less `/api` was sent on, and is another site to a browser.
  const sides = { ...SIDES, basePath: "/api" };
  for (const [says, gets] of REDIRECTS) {
    const mapped = locationForClient(says, sides);
    assert.equal(mapped, gets);
    assert.equal(new URL(mapped, "https://a.test/page").host, "a.test");
  }
});

const UNNAMED: [says: string, gets: string][] = [
  ["http://10.0.0.1:3000/api/b", "/b"],
  ["http://10.0.0.1:3000/api", "/"],
  ["http://10.0.0.1:3000/api?b", "/?b"],
  ["/api/b", "/b"],
  // There is no host to put in front.
  ["/api//evil.test", "/api//evil.test"],
  [
    "http://10.0.0.1:3000/api//evil.test",
    "http://10.0.0.1:3000/api//evil.test",
  ],
];

Deno.test("locationForClient() returns a path if the client sent no Host", () => {
  const client = { scheme: "http", host: undefined };
  const sides = { ...SIDES, basePath: "/api", client };
  for (const [says, gets] of UNNAMED) {
    assert.equal(locationForClient(says, sides), gets);
  }
});

const COOKIES: [says: string, gets: string][] = [
  ["a=1; Path=/base", "a=1; Path=/"],
  ["a=1; Path=/base/", "a=1; Path=/"],
  ["a=1; Path=/base/x/y", "a=1; Path=/x/y"],
  ["a=1;path=/base;Secure", "a=1;path=/;Secure"],
  ["a=1; PATH = /base/x ; HttpOnly", "a=1; PATH = /x ; HttpOnly"],
  ['a=1; Version=1; Path="/base"', 'a=1; Version=1; Path="/"'],
  ['a=1; Path="/base/x"; Secure', 'a=1; Path="/x"; Secure'],
  ["a=1; Path=/base; Path=/base/x", "a=1; Path=/; Path=/x"],
  [
    "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/base",
    "a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Path=/",
  ],
  // Not below it, not an attribute, or not a path.
  ["a=1", "a=1"],
  ["a=1; Path=/", "a=1; Path=/"],
  ["__Host-a=1; Secure; Path=/", "__Host-a=1; Secure; Path=/"],
  ["a=1; Path=/basement", "a=1; Path=/basement"],
  ["a=1; Path=/Base", "a=1; Path=/Base"],
  ["a=1; Path=/other/base", "a=1; Path=/other/base"],
  ["a=1; Path=base", "a=1; Path=base"],
  ["a=1; Path=", "a=1; Path="],
  ["a=1; Path", "a=1; Path"],
  ["a=1; XPath=/base", "a=1; XPath=/base"],
  ["Path=/base", "Path=/base"],
  ["path=/base; Path=/base", "path=/base; Path=/"],
  ['a="Path=/base"', 'a="Path=/base"'],
  ["a=1;;; ;Path=/base;", "a=1;;; ;Path=/;"],
  ["", ""],
];

Deno.test("cookieForClient() takes the base path off Path, and touches nothing else", () => {
  // A session of an application below `/base` was lost: no browser sent it back.
  for (const [says, gets] of COOKIES) {
    assert.equal(cookieForClient(says, "/base"), gets);
  }
});

Deno.test("isMapped() asks for cookies only where there is a base path", () => {
  for (const name of ["location", "content-location"]) {
    assert.equal(isMapped(name, ""), true);
    assert.equal(isMapped(name, "/base"), true);
  }
  assert.equal(isMapped("set-cookie", ""), false);
  assert.equal(isMapped("set-cookie", "/base"), true);
  assert.equal(isMapped("refresh", "/base"), false);
});

const ASKED = {
  backendScheme: "http",
  backendHost: "told.test",
  basePath: "/base",
  client: { scheme: "https", host: "front.test" },
  connection: { scheme: "http", host: "a.test:8080" },
};

const DESTINATIONS: [says: string, gets: string][] = [
  ["https://front.test/b", "http://told.test/base/b"],
  ["https://FRONT.test:443/b?c", "http://told.test/base/b?c"],
  ["https://front.test", "http://told.test/base"],
  // As a proxy in front has mapped it.
  ["http://a.test:8080/b", "http://told.test/base/b"],
  ["/b", "/base/b"],
  ["/%62/c%20d", "/base/%62/c%20d"],
  // Another place, which is for the backend to refuse.
  ["http://front.test/b", "http://front.test/b"],
  ["https://a.test:8080/b", "https://a.test:8080/b"],
  ["https://front.test.evil/b", "https://front.test.evil/b"],
  ["https://front.test@evil/b", "https://front.test@evil/b"],
  ["//front.test/b", "//front.test/b"],
  ["b", "b"],
  ["", ""],
];

Deno.test("forBackend() maps a Destination of the proxy's own, and no other", () => {
  // A WebDAV MOVE put the file outside of the base path, and behind TLS the
  // backend answered 502, since it was told to move to another server.
  for (const [says, gets] of DESTINATIONS) {
    assert.equal(forBackend("destination", says, ASKED), gets);
  }
  assert.equal(
    forBackend("destination", "/b", { ...ASKED, basePath: "" }),
    "/b",
  );
});

const CONDITIONS: [says: string, gets: string][] = [
  [
    "<https://front.test/b> (<urn:uuid:1>) </c> (Not <DAV:no-lock>)",
    "<http://told.test/base/b> (<urn:uuid:1>) </base/c> (Not <DAV:no-lock>)",
  ],
  ["(<urn:uuid:1>)", "(<urn:uuid:1>)"],
  // In a list it is a state token, whatever it looks like.
  ["(<https://front.test/b>)", "(<https://front.test/b>)"],
  [
    '</b> (["a)<"] <urn:x>) (["/c>"]) </d>([W/"x"])',
    '</base/b> (["a)<"] <urn:x>) (["/c>"]) </base/d>([W/"x"])',
  ],
  ["<http://other.test/b> (<urn:x>)", "<http://other.test/b> (<urn:x>)"],
  // What is no `If` at all comes as it was sent.
  ["</b", "</b"],
  ['</b> (["x', '</base/b> (["x'],
  [")))<", ")))<"],
  ["", ""],
];

Deno.test("forBackend() maps the resources that an If field names, and no token", () => {
  for (const [says, gets] of CONDITIONS) {
    assert.equal(forBackend("if", says, ASKED), gets);
  }
});
