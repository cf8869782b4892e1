// The limit: what the runtime's own `serve` and `fetch` do when nothing is done
// to a request. Not a proxy anybody should run: it forwards hop-by-hop fields,
// re-sends what it must not, and breaks compressed bodies.
// Usage: five_liner.ts PORT BACKEND…
// With READ_UPLOADS set it reads what it uploads, and does nothing to that
// either: what a proxy pays that has to keep the beginning for another attempt.

// deno-lint-ignore-file no-explicit-any -- one file for two runtimes' globals
import process from "node:process";

const [port, ...backends] = process.argv.slice(2);
let turn = 0;
const reads = process.env.READ_UPLOADS !== undefined;
/** A stream of known length: given the stream alone Deno would send chunks. */
class Sized extends Blob {
  #stream: ReadableStream;
  #size: number;
  constructor(stream: ReadableStream, size: number) {
    super();
    this.#stream = stream;
    this.#size = size;
  }
  override get size() {
    return this.#size;
  }
  override stream(): any {
    return this.#stream;
  }
}
function read({ body, headers }: Request) {
  const reader = body?.getReader();
  const stream = reader && new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  }, { highWaterMark: 0 });
  return stream && new Sized(stream, Number(headers.get("content-length")));
}
const fetchOne = (request: Request) => {
  const backend = backends[turn++ % backends.length];
  const { url, method, headers, body } = request;
  return fetch(backend + url.slice(url.indexOf("/", 8)), {
    method,
    headers,
    body: reads ? read(request) : body,
    redirect: "manual",
    decompress: false,
  } as RequestInit);
};
const options = { port: Number(port), hostname: "127.0.0.1" };
const { Bun, Deno } = globalThis as any;
if (Bun) Bun.serve({ ...options, fetch: fetchOne, development: false });
else Deno.serve({ ...options, onListen() {} }, fetchOne);
