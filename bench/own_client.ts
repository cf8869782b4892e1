// The cost of the socket client by itself: the five-liner with it in place of
// `fetch`. Not a proxy to use, for the five-liner's reasons.
// Usage: own_client.ts PORT BACKEND…

// deno-lint-ignore-file no-explicit-any -- one file for two runtimes' globals
import process from "node:process";
import { setImmediate } from "node:timers";
import { Backend } from "../balancer.ts";
import type { Answer } from "../http/call.ts";
import { Client } from "../http/client.ts";
import { Abort } from "../http/signal.ts";
import { reading } from "../proxy/body.ts";
import { systemClock } from "../base/clock.ts";
import { destinationOf } from "../runtime/destination.ts";
import { requestLines, wholeBody } from "../runtime/deno/inside.ts";
import { DenoServer } from "../runtime/deno/server.ts";

const [port, ...urls] = process.argv.slice(2);
const { Bun, Deno } = globalThis as any;
const connect = Bun
  ? (await import("../runtime/bun/connect.ts")).connectBun
  : (await import("../runtime/deno/connect.ts")).connectDeno;
const client = new Client({
  timers: { ...systemClock, later: (callback) => void setImmediate(callback) },
  wholeUpTo: (Bun ? 256 : 64) * 1024,
  // Bun reads the rest of a request by itself.
  lingers: !Bun,
  reuses: !Bun,
  lags: !Bun,
});
const pools = urls.map((url) => {
  const destination = destinationOf(new Backend({ url }));
  return client.pool((signal) =>
    connect(destination, { signal, limitMs: 3_000 })
  );
});
const server = new DenoServer();
let turn = 0;

function answered({ status, fields, body, reuse }: Answer): Response {
  const kept = fields.filter(([name]) =>
    name !== "connection" && name !== "keep-alive" &&
    name !== "transfer-encoding"
  );
  const given = body === null || body instanceof Uint8Array
    ? Bun && body !== null && body.length > CORKED ? filled(body) : body
    : new ReadableStream({
      async pull(controller) {
        const piece = await body.read();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
      cancel: (why) => body.cancel(why),
    }, { highWaterMark: 0 });
  const response = new Response(given, { status, headers: kept });
  if (Deno) reuse?.();
  return response;
}

/**
 * Bun sends the head of a later response in some thirty pieces if its body is
 * bytes and does not fit its buffer of 16 KB; a stream is sent in one write: 20
 * instead of 115 µs with 64 KB.
 */
function filled(bytes: Uint8Array): ReadableStream {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  }, { highWaterMark: bytes.length + 1 });
}

/** Bytes that are always sent together with the head. */
const CORKED = 8 * 1024;

async function uploaded(request: Request, length: number) {
  if (length > 64 * 1024) {
    const stream = request.body as ReadableStream<Uint8Array<ArrayBuffer>>;
    return {
      payload: {
        length,
        reading: Deno ? server.reading(stream, length) : reading(stream),
      },
    };
  }
  const whole = (Deno && wholeBody(request, length)) ??
    new Uint8Array(await request.arrayBuffer());
  return { whole };
}

function handle(request: Request): Promise<Response> {
  const { url, method } = request;
  const fields: [string, string][] = [];
  let length = 0;
  const take = (value: string, name: string) => {
    if (name === "content-length") length = Number(value);
    else if (name !== "connection") fields.push([name, value]);
  };
  const lines = Deno && requestLines(request);
  if (lines) { for (const [name, value] of lines) take(value, name); }
  else request.headers.forEach(take);
  const pool = pools[turn++ % pools.length]!;
  const send = (body: object) =>
    pool.send({
      method,
      target: url.slice(url.indexOf("/", 8)),
      fields,
      repeatable: method === "GET",
      signal: new Abort(),
      ...body,
    }).then(answered);
  return length === 0
    ? send({})
    : uploaded(request, length).then((body) => send(body));
}

process.once("SIGTERM", () => process.exit());
const options = { port: Number(port), hostname: "127.0.0.1" };
if (Bun) {
  const maxRequestBodySize = Number.MAX_SAFE_INTEGER;
  Bun.serve({ ...options, maxRequestBodySize, fetch: handle });
} else Deno.serve({ ...options, onListen() {} }, handle);
