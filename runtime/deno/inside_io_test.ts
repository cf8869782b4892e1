// What Sluice reaches for inside of Deno has to be there, or a request costs a
// third more unnoticed; and it has to mean what it is taken for.

import assert from "node:assert/strict";
import type { Chunk } from "../../proxy/body.ts";
import type { Fields } from "../../proxy/fields.ts";
import { answerLines, Draft, requestLines, wholeBody } from "./inside.ts";

/** Answers one raw request, sent as it stands, by `handle`; its answer's text. */
async function asked(
  raw: string,
  handle: (request: Request) => Response | Promise<Response>,
): Promise<string> {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    handle,
  );
  using connection = await Deno.connect({ port: server.addr.port });
  await connection.write(new TextEncoder().encode(raw));
  return await new Response(connection.readable).text();
}

const END = "Connection: close\r\n\r\n";

Deno.test("requestLines() equals Headers, in the order of arrival", async () => {
  let lines: Fields | undefined;
  let said: [string, string][] = [];
  await asked(
    `GET /a HTTP/1.1\r\nHost: a\r\nX-B: 1\r\nX-A: 2\r\nx-b: 3\r\n` +
      `Cookie: a=1\r\nX-E:\r\nX-S: \t s \t\r\n${END}`,
    (request) => {
      lines = requestLines(request);
      said = [...request.headers];
      return new Response("");
    },
  );
  assert.deepEqual(lines?.slice(0, 3), [
    ["host", "a"],
    ["x-b", "1, 3"],
    ["x-a", "2"],
  ]);
  assert.deepEqual([...lines ?? []].sort(), said.sort());
});

Deno.test("requestLines() leaves a request that was made in code alone", () => {
  const request = new Request("http://a/", { headers: { "X-A": "1" } });
  assert.equal(requestLines(request), undefined);
  assert.equal(request.headers.get("x-a"), "1");
});

Deno.test("wholeBody() takes a body that came with its head, if it is as long", async () => {
  const found: (number | undefined)[] = [];
  const take = (request: Request) => {
    found.push(wholeBody(request, 4)?.byteLength);
    found.push(wholeBody(request, 3)?.byteLength);
    found.push(wholeBody(request, 3)?.byteLength);
    found.push(request.bodyUsed ? 1 : 0);
    return new Response("");
  };
  // The first of a connection is never here already.
  await asked(
    `GET / HTTP/1.1\r\nHost: a\r\n\r\n` +
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n${END}abc`,
    (request) => request.method === "GET" ? new Response("") : take(request),
  );
  assert.deepEqual(found, [undefined, 3, undefined, 1]);
});

// The first answer decides whether the list is looked for at all, and one that a
// function backend has made, whose type Deno adds in capitals, said no for all.
Deno.test("answerLines() is not decided by an answer that was made in code", () => {
  assert.equal(answerLines(new Response("a")), undefined);
});

Deno.test("answerLines() is there", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response("a", { headers: { "x-a": "1" } }),
  );
  const response = await fetch(`http://127.0.0.1:${server.addr.port}/`);
  await response.bytes();
  assert.ok(answerLines(response)?.some(([name]) => name === "x-a"));
});

Deno.test("a Draft sends its content even if it is filled again", async () => {
  using client = Deno.createHttpClient({ allowHost: true, http2: false });
  const draft = Draft.of(client);
  assert.ok(draft !== undefined);
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (request) =>
      new Response(JSON.stringify([
        request.method,
        new URL(request.url).pathname,
        request.headers.get("host"),
        request.headers.get("x-a"),
        request.headers.get("content-length"),
        request.headers.get("transfer-encoding"),
        await request.text(),
      ])),
  );
  const url = `http://127.0.0.1:${server.addr.port}`;
  const body = (text: string) =>
    new ReadableStream<Chunk>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(text));
        controller.close();
      },
    });
  const send = (
    method: string,
    path: string,
    text?: string,
    length?: number,
    signal = new AbortController().signal,
  ) =>
    fetch(draft.filled({
      method,
      url: url + path,
      fields: [["host", `${path.slice(1)}.test`], ["x-a", path], ["x-a", "2"]],
      signal,
      body: text === undefined ? undefined : body(text),
      length,
    }));
  const left = new AbortController();
  const all = [
    send("GET", "/a"),
    send("POST", "/b", "bbb", 3),
    send("PUT", "/c", "cccc"),
  ];
  const ended = send("GET", "/d", undefined, undefined, left.signal);
  left.abort(new Error("left"));
  await assert.rejects(ended, /left/);
  assert.deepEqual(
    await Promise.all(all.map(async (answer) => (await answer).json())),
    [
      ["GET", "/a", "a.test", "/a, 2", null, null, ""],
      ["POST", "/b", "b.test", "/b, 2", "3", null, "bbb"],
      ["PUT", "/c", "c.test", "/c, 2", null, "chunked", "cccc"],
    ],
  );
});

Deno.test("a Draft's body is not sent again when a kept connection dies under it", async () => {
  using client = Deno.createHttpClient({ allowHost: true, http2: false });
  const draft = Draft.of(client);
  assert.ok(draft !== undefined);
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  let posts = 0;
  const serving = (async () => {
    // Answers a GET, and ends the connection as soon as it has read a POST.
    for await (const connection of listener) {
      const bytes = new Uint8Array(4096);
      for (;;) {
        const read = await connection.read(bytes).catch(() => null);
        if (read === null) break;
        const text = new TextDecoder().decode(bytes.subarray(0, read));
        if (text.includes("POST")) posts++;
        if (text.includes("abc")) break;
        if (text.includes("GET")) {
          await connection.write(
            new TextEncoder().encode(
              "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            ),
          );
        }
      }
      connection.close();
    }
  })();
  const filling = {
    url: `http://127.0.0.1:${listener.addr.port}/`,
    fields: [["host", "a"]] as Fields,
    signal: new AbortController().signal,
  };
  const first = await fetch(
    draft.filled({
      ...filling,
      method: "GET",
      body: undefined,
      length: undefined,
    }),
  );
  await first.bytes();
  const body = new ReadableStream<Chunk>({
    start(controller) {
      controller.enqueue(new TextEncoder().encode("abc"));
      controller.close();
    },
  });
  await assert.rejects(
    fetch(draft.filled({ ...filling, method: "POST", body, length: 3 })),
  );
  assert.equal(posts, 1);
  listener.close();
  await serving;
});
