// What does Deno's `fetch` do first with its input, in both forms?

import type { Fields } from "../proxy/headers.ts";
import { Draft } from "../runtime/deno/inside.ts";

const HOST = "localhost:8080";
const URL = `http://${HOST}/some/path/to/thing?x=1&y=abcdef`;

// The first is used on versions whose internals are known; the second is what
// it saves.
const client = Deno.createHttpClient({ allowHost: true, http2: false });
const draft = Draft.of(client);
const sent: Fields = [
  ["accept-encoding", "identity"],
  ["host", HOST],
  ["x-forwarded-for", "192.0.2.1"],
  ["x-forwarded-host", HOST],
  ["x-forwarded-proto", "http"],
  ["via", "1.1 sluice-bench"],
  ["user-agent", ""],
];

Deno.bench("send: a request that is filled anew", {
  group: "what fetch is given",
  ignore: draft === undefined,
}, () => {
  new Request(draft!.filled({
    method: "GET",
    url: URL,
    fields: sent,
    signal: new AbortController().signal,
    body: undefined,
    length: undefined,
  }));
});

Deno.bench("send: a URL and options", {
  group: "what fetch is given",
  baseline: true,
}, () => {
  const init: RequestInit & { client: Deno.HttpClient } = {
    method: "GET",
    headers: sent,
    redirect: "manual",
    signal: new AbortController().signal,
    client,
  };
  new Request(URL, init);
});
