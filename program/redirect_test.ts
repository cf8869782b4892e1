import assert from "node:assert/strict";
import { redirector } from "./redirect.ts";

async function redirected(
  url: string,
  init: RequestInit = {},
  port = 443,
): Promise<[status: number, location: string | null]> {
  const request = new Request(url, init);
  const response = await redirector(port)(request);
  if (init.method === "HEAD") assert.equal(response.body, null);
  await response.body?.cancel();
  assert.equal(response.headers.get("connection"), "close");
  return [response.status, response.headers.get("location")];
}

function asked(host: string | null, target = "/", method = "GET") {
  return redirected(`http://h${target}`, {
    method,
    headers: host === null ? {} : { host },
  });
}

Deno.test("redirector() leads to the same host and target with https:", async () => {
  assert.deepEqual(await asked("a.test", "/x?y=1&z=%27"), [
    308,
    "https://a.test/x?y=1&z=%27",
  ]);
  assert.deepEqual(await asked("A.test:8080", "/"), [308, "https://A.test/"]);
  assert.deepEqual(await asked("[::1]:80", "/a//b"), [
    308,
    "https://[::1]/a//b",
  ]);
});

Deno.test("redirector() names a port other than 443", async () => {
  const headers = { host: "a.test:8080" };
  assert.deepEqual(await redirected("http://h/x", { headers }, 8443), [
    308,
    "https://a.test:8443/x",
  ]);
});

Deno.test("redirector() ignores the method", async () => {
  for (const method of ["HEAD", "POST", "DELETE", "OPTIONS", "PROPFIND"]) {
    assert.deepEqual(await asked("a.test", "/x", method), [
      308,
      "https://a.test/x",
    ]);
  }
});

Deno.test("redirector() refuses a request without a valid Host", async () => {
  for (
    const host of [
      null,
      "",
      "a b",
      "a/b",
      "a@b",
      "a,b",
      "a:99999",
      "[::1",
      "a\\b",
    ]
  ) assert.deepEqual(await asked(host), [400, null]);
  assert.deepEqual(await asked("a.test", "/*", "OPTIONS"), [400, null]);
});

Deno.test("redirector() refuses a target that the proxy would refuse", async () => {
  assert.deepEqual(await asked("a.test", "/x#y"), [400, null]);
});

// A target that looks like a host must stay a path of the host that was asked for.
Deno.test("redirector() leads to no other host", async () => {
  assert.deepEqual(await asked("a.test", "//b.test/x"), [
    308,
    "https://a.test//b.test/x",
  ]);
});
