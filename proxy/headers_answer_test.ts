import assert from "node:assert/strict";
import { responseFields } from "./headers.ts";

const ANSWER = {
  ownOrigin: "http://10.0.0.1:3000",
  backendScheme: "http",
  backendHost: "b.test",
  basePath: "",
  client: { scheme: "https", host: "a.test" },
  added: undefined,
};

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

Deno.test("responseFields() removes a length next to a transfer coding (RFC 9112 §6.3)", () => {
  const headers = new Headers([
    ["content-length", "3"],
    ["transfer-encoding", "chunked"],
    ["x-b", "2"],
  ]);
  assert.deepEqual(responseFields(headers, ANSWER), [["x-b", "2"]]);
});

Deno.test("responseFields() keeps multiple Set-Cookie fields separate", () => {
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

Deno.test("responseFields() replaces the backend's field by ours of that name", () => {
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
