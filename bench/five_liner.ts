// The limit: what the runtime's own `serve` and `fetch` do when nothing is done
// to a request. Not a proxy anybody should run: it forwards hop-by-hop fields,
// re-sends what it must not, and breaks compressed bodies.
// Usage: five_liner.ts PORT BACKEND…
// With READ_UPLOADS set it reads what it uploads (read_upload.ts).

// deno-lint-ignore-file no-explicit-any -- one file for two runtimes' globals
import process from "node:process";

const [port, ...backends] = process.argv.slice(2);
let turn = 0;
const { read } = process.env.READ_UPLOADS === undefined
  ? { read: undefined }
  : await import("./read_upload.ts");
const fetchOne = (request: Request) => {
  const backend = backends[turn++ % backends.length];
  const { url, method, headers, body } = request;
  return fetch(backend + url.slice(url.indexOf("/", 8)), {
    method,
    headers,
    body: read === undefined ? body : read(request),
    redirect: "manual",
    decompress: false,
  } as RequestInit);
};
// Only one that ends by itself writes its profile (profile.ts).
process.once("SIGTERM", () => process.exit());
const options = { port: Number(port), hostname: "127.0.0.1" };
const { Bun, Deno } = globalThis as any;
if (Bun) Bun.serve({ ...options, fetch: fetchOne, development: false });
else Deno.serve({ ...options, onListen() {} }, fetchOne);
