/**
 * URLs in fields: the backend's origin or base path is mapped to the proxy's
 * for the client, and in WebDAV's fields the other way round.
 *
 * @module
 */

import assert from "node:assert/strict";
import { requestText } from "../harness/client.ts";
import type { Group, WireCase } from "./case.ts";

type Fields = [name: string, value: string][];

/** A value in which `OWN` stands for the backend's authority. */
function named(text: string, authority: string): string {
  return text.replaceAll("OWN", authority);
}

/** A field of a response as the backend sends it and as the client gets it. */
function back(
  promise: string,
  name: string,
  says: string,
  gets: string,
  sent: Fields = [],
): WireCase {
  return {
    name: `mapping: ${name} ${promise}`,
    on: "proven",
    async run(round) {
      const { authority } = round.backend;
      const answer = await round.ask(
        requestText("GET", "/", { host: "Front.test:81", headers: sent }),
        (conn) =>
          conn.reply({
            headers: [[name, named(says, authority)]],
            body: "ok",
          }),
      );
      assert.equal(answer.status, 200);
      assert.equal(answer.text, "ok");
      assert.deepEqual(answer.headerAll(name), [named(gets, authority)]);
    },
  };
}

/** A field of a request as the client sends it and as the backend gets it. */
function on(
  promise: string,
  [method, name]: [method: string, name: string],
  says: string,
  gets: string,
  sent: Fields = [],
): WireCase {
  return {
    name: `mapping: ${name} of ${method} ${promise}`,
    async run(round) {
      const { authority } = round.backend;
      const answer = await round.ask(
        requestText(method, "/a", {
          host: "Front.test:81",
          headers: [[name, named(says, authority)], ...sent],
        }),
      );
      assert.equal(answer.status, 200);
      assert.deepEqual(round.request.headerAll(name), [
        named(gets, authority),
      ]);
    },
  };
}

/** Where a browser goes that was redirected, from a page of the proxy's. */
function staysHere(promise: string, says: string): WireCase {
  return {
    name: `mapping: Location ${promise} leads to no other host`,
    async run(round) {
      const { authority } = round.backend;
      const answer = await round.ask(
        requestText("GET", "/", { host: "Front.test:81" }),
        (conn) =>
          conn.reply({
            status: 302,
            headers: { "Location": named(says, authority) },
          }),
      );
      const base = "http://front.test:81/page";
      const { host } = new URL(answer.header("location")!, base);
      assert.equal(host, "front.test:81");
    },
  };
}

const MOVE: [string, string] = ["MOVE", "Destination"];
const COPY: [string, string] = ["COPY", "Destination"];
const IF: [string, string] = ["PUT", "If"];

/** A backend with a base path. */
export const mapping: Group = {
  name: "mapping",
  env: (backend) => ({ BACKENDS: `${backend.url}/app` }),
  cases: [
    back("at the base path", "Content-Location", "/app/a", "/a"),
    back(
      "at the backend's origin",
      "Content-Location",
      "http://OWN/app/a",
      "http://Front.test:81/a",
    ),
    back(
      "at the host that the backend was told",
      "Location",
      "http://front.test:81/app/a",
      "http://Front.test:81/a",
    ),
    {
      // A backend that wrote the port of its scheme sent clients past the proxy.
      name: "mapping: Location with the default port is at the same origin",
      async run(round) {
        const { status, header } = await round.ask(
          requestText("GET", "/", { host: "front.test" }),
          (conn) =>
            conn.reply({
              status: 302,
              headers: { "Location": "http://front.test:80/app/a" },
            }),
        );
        assert.equal(status, 302);
        assert.equal(header("location"), "http://front.test/a");
      },
    },
    back("elsewhere stays", "Content-Location", "/other", "/other"),
    back(
      "is not looked at",
      "Refresh",
      "0; url=http://OWN/app/a",
      "0; url=http://OWN/app/a",
    ),
    // A session was lost: no browser returned the cookie.
    back("at the base path", "Set-Cookie", "a=1; Path=/app", "a=1; Path=/"),
    back(
      "below the base path",
      "Set-Cookie",
      "a=1; HttpOnly; path=/app/x; Secure",
      "a=1; HttpOnly; path=/x; Secure",
    ),
    back("in quotes", "Set-Cookie", 'a=1; Path="/app/x"', 'a=1; Path="/x"'),
    back(
      "that only begins so",
      "Set-Cookie",
      "a=1; Path=/apple",
      "a=1; Path=/apple",
    ),
    back(
      "at the root",
      "Set-Cookie",
      "__Host-a=1; Path=/",
      "__Host-a=1; Path=/",
    ),
    back("with a path for a value", "Set-Cookie", "Path=/app", "Path=/app"),
    {
      name: "mapping: Set-Cookie of several comes as several",
      on: "proven",
      async run(round) {
        const { headerAll } = await round.get(
          "/",
          [],
          (conn) =>
            conn.reply({
              headers: [
                ["Set-Cookie", "a=1, x; Path=/app"],
                ["Set-Cookie", "b=2"],
                ["Set-Cookie", "c=3; Path=/app/y; Max-Age=1"],
              ],
              body: "ok",
            }),
        );
        assert.deepEqual(headerAll("set-cookie"), [
          "a=1, x; Path=/",
          "b=2",
          "c=3; Path=/y; Max-Age=1",
        ]);
      },
    },
    // `/app//evil.test` less `/app` is another site to a browser.
    staysHere("to two slashes behind the base path", "/app//evil.test/"),
    staysHere("to three slashes behind the base path", "/app///evil.test/"),
    staysHere("to a backslash behind the base path", "/app/\\evil.test/"),
    staysHere("to a tab behind the base path", "/app/\t/evil.test/"),
    staysHere("to our own two slashes", "http://OWN/app//evil.test/"),
    // A file that was moved landed outside of the base path.
    on(
      "goes below the base path",
      MOVE,
      "http://front.test:81/b",
      "http://Front.test:81/app/b",
    ),
    on(
      "goes below the base path",
      COPY,
      "http://Front.test:81/b?c",
      "http://Front.test:81/app/b?c",
    ),
    on("as a path goes below the base path", MOVE, "/b/c%20d", "/app/b/c%20d"),
    on(
      "at another host stays",
      MOVE,
      "http://other.test/b",
      "http://other.test/b",
    ),
    on(
      "of another scheme stays",
      MOVE,
      "https://front.test:81/b",
      "https://front.test:81/b",
    ),
    on("is nothing to map", ["PUT", "Destination"], "/b", "/b"),
    on(
      "goes below the base path",
      IF,
      '<http://front.test:81/b> (<urn:uuid:1> ["</b>"]) </c> (Not <DAV:no-lock>)',
      '<http://Front.test:81/app/b> (<urn:uuid:1> ["</b>"]) </app/c> (Not <DAV:no-lock>)',
    ),
    on("without a resource stays", IF, "(<urn:uuid:1>)", "(<urn:uuid:1>)"),
    ...[
      "/../secret",
      "/a/../../secret",
      "/..%2fsecret",
      "/%252e%252e/secret",
      "/%25%32%65%25%32%65/secret",
      "/..;/secret",
      "http://front.test:81/../secret",
    ].map((destination): WireCase => ({
      name: `mapping: Destination ${destination} does not leave the base path`,
      async run(round) {
        const { status } = await round.ask(
          requestText("MOVE", "/a", {
            host: "front.test:81",
            headers: [["Destination", destination]],
          }),
        );
        assert.equal(status, 400);
        assert.deepEqual(round.requests, []);
      },
    })),
  ],
};

const FRONT: Fields = [
  ["X-Forwarded-Proto", "https"],
  ["X-Forwarded-Host", "shop.test"],
];

/** The same behind a trusted proxy that terminates TLS and has its own name. */
export const mappingBehindFront: Group = {
  name: "mapping behind a front",
  env: () => ({ TRUSTED_PROXIES: "loopback" }),
  cases: [
    // Redirects left TLS.
    back(
      "names what the front says",
      "Location",
      "http://OWN/a",
      "https://shop.test/a",
      FRONT,
    ),
    back(
      "made of the Host that was sent names what the front says",
      "Location",
      "http://front.test:81/a",
      "https://shop.test/a",
      FRONT,
    ),
    back(
      "made of what the front says stays",
      "Location",
      "https://shop.test/a",
      "https://shop.test/a",
      FRONT,
    ),
    back(
      "names the first of a list",
      "Location",
      "http://OWN/a",
      "https://shop.test/a",
      [
        ["X-Forwarded-Proto", "https, http"],
        ["X-Forwarded-Host", "shop.test, inner.test"],
      ],
    ),
    back(
      "keeps the scheme if the front says none",
      "Location",
      "http://OWN/a",
      "http://Front.test:81/a",
      [
        ["X-Forwarded-Proto", "javascript"],
      ],
    ),
    back(
      "keeps the host if the front says none",
      "Location",
      "http://OWN/a",
      "https://Front.test:81/a",
      [
        ["X-Forwarded-Proto", "https"],
        ["X-Forwarded-Host", "evil.test/path?"],
      ],
    ),
    back(
      "keeps the host if the front says userinfo",
      "Location",
      "http://OWN/a",
      "http://Front.test:81/a",
      [
        ["X-Forwarded-Host", "shop.test@evil.test"],
      ],
    ),
    on(
      "names what the backend is asked as",
      MOVE,
      "https://shop.test/b",
      "http://Front.test:81/b",
      FRONT,
    ),
    on(
      "as a proxy in front has mapped it is taken too",
      MOVE,
      "http://front.test:81/b",
      "http://Front.test:81/b",
      FRONT,
    ),
    on(
      "under the scheme of the front and the Host that came stays",
      MOVE,
      "https://front.test:81/b",
      "https://front.test:81/b",
      FRONT,
    ),
  ],
};

/** The host name of an untrusted client is not used. */
export const mappingForStrangers: Group = {
  name: "mapping for strangers",
  cases: [
    back(
      "names the Host that came",
      "Location",
      "http://OWN/a",
      "http://Front.test:81/a",
      FRONT,
    ),
    on(
      "at what a stranger says stays",
      MOVE,
      "https://shop.test/b",
      "https://shop.test/b",
      FRONT,
    ),
  ],
};

/** With `HOST_HEADER=backend` the backend gets its own name. */
export const mappingToOwnName: Group = {
  name: "mapping to a backend's own name",
  env: (backend) => ({
    BACKENDS: `${backend.url}/app`,
    HOST_HEADER: "backend",
  }),
  cases: [
    on("names the backend", MOVE, "http://front.test:81/b", "http://OWN/app/b"),
    back(
      "at the host that was not told stays as it is",
      "Location",
      "http://front.test:81/b",
      "http://front.test:81/b",
    ),
  ],
};
