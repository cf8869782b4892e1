import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Backend, Pool } from "../balancer.ts";
import { Sticky } from "./sticky.ts";

/** An answer that belongs to its client alone. */
const PAGE = new Response();

const pool = () => new Pool(["http://a", "http://b"]);

/** What a browser sends back of a `Set-Cookie`. */
const sentBack = (setCookie: string) =>
  new Headers({ cookie: `other=1; ${setCookie.split(";")[0]}` });

Deno.test("Sticky recognizes its own cookie, and does not set it twice", () => {
  const backends = pool();
  const sticky = new Sticky(backends, "srv");
  const [a, b] = backends.backends as [Backend, Backend];
  const cookie = sticky.cookie(a, undefined, false, PAGE)!;
  assert.match(
    cookie,
    /^srv=[\w-]{22}; Path=\/; HttpOnly; SameSite=Lax$/,
  );
  const key = sticky.keyOf(sentBack(cookie));
  assert.equal(key, a.id);
  assert.equal(sticky.cookie(a, key, false, PAGE), undefined);
  assert.notEqual(sticky.cookie(b, key, false, PAGE), undefined);
});

Deno.test("Sticky marks its cookie Secure when the client came by https", () => {
  const backends = pool();
  const sticky = new Sticky(backends, "srv");
  const [a] = backends.backends as [Backend];
  assert.match(sticky.cookie(a, undefined, true, PAGE)!, /; Secure$/);
});

Deno.test("Sticky ignores a cookie that it has not made", () => {
  const backends = pool();
  const sticky = new Sticky(backends, "srv");
  const [a] = backends.backends as [Backend];
  const token = sticky.cookie(a, undefined, false, PAGE)!.slice(4, 26);
  const hashed = (text: string) =>
    createHash("sha256").update(text).digest("base64url").slice(0, 22);
  for (
    const forged of [
      a.id,
      a.url,
      hashed(a.url),
      hashed(a.id),
      "",
      "undefined",
      "__proto__",
      token.slice(0, -1),
      `${token}x`,
      token.toLowerCase(),
      // Another proxy's, which has a key of its own.
      new Sticky(backends, "srv").cookie(a, undefined, false, PAGE)!.slice(
        4,
        26,
      ),
    ]
  ) {
    const headers = new Headers({ cookie: `srv=${forged}` });
    assert.equal(sticky.keyOf(headers), undefined, forged);
  }
});

Deno.test("Sticky's replicas agree when they are given one secret", () => {
  const one = pool();
  const sticky = new Sticky(one, "srv", "a secret of 16 or more");
  const two = new Pool(["http://c", "http://b", "http://a"]);
  const other = new Sticky(two, "srv", "a secret of 16 or more");
  for (const backend of one) {
    const cookie = sticky.cookie(backend, undefined, false, PAGE)!;
    assert.equal(other.keyOf(sentBack(cookie)), backend.id);
  }
});

Deno.test("Sticky follows changes of the pool", () => {
  const backends = pool();
  const sticky = new Sticky(backends, "srv");
  const c = backends.add("http://c");
  const cookie = sticky.cookie(c, undefined, false, PAGE)!;
  assert.equal(sticky.keyOf(sentBack(cookie)), c.id);
  backends.remove(c);
  assert.equal(sticky.keyOf(sentBack(cookie)), undefined);
  // The same one again, after a reload: its clients come back to it.
  backends.add("http://c");
  assert.equal(sticky.keyOf(sentBack(cookie)), c.id);
});

const STORED: [control: string, shared: boolean][] = [
  ["public", true],
  ["max-age=60", true],
  ["Max-Age = 60, must-revalidate", true],
  ["s-maxage=60", true],
  ["public, max-age=0", true],
  ['s-maxage="60"', true],
  ["max-age=0", false],
  ["max-age=0, must-revalidate", false],
  ["private", false],
  ["private, max-age=60", false],
  ["max-age=60, Private", false],
  ["no-store", false],
  ["no-cache, max-age=60", false],
  ['private="x", public', false],
  ["must-revalidate", false],
  ["x-public", false],
  ["", false],
];

Deno.test("Sticky sets no cookie on a response that shared caches may store", () => {
  // A cache in front gave the one cookie to all, and all went to one backend.
  const backends = pool();
  const sticky = new Sticky(backends, "srv");
  const [a] = backends.backends as [Backend];
  for (const [control, shared] of STORED) {
    const answer = new Response(null, {
      headers: { "cache-control": control },
    });
    const cookie = sticky.cookie(a, undefined, false, answer);
    assert.equal(cookie === undefined, shared, control);
  }
});
