// The upper bound: the runtime's own `serve` and `fetch` without any work on a
// request. Not a proxy to use: it forwards hop-by-hop fields, repeats requests
// that must not be repeated, and corrupts compressed bodies. Usage:
// five_liner.ts PORT BACKEND… With READ_UPLOADS it reads what it uploads
// (read_upload.ts).

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
// A program writes its profile only when it exits by itself (profile.ts).
process.once("SIGTERM", () => process.exit());
const options = { port: Number(port), hostname: "127.0.0.1" };
const { Bun, Deno } = globalThis as any;
if (Bun) Bun.serve({ ...options, fetch: fetchOne, development: false });
else Deno.serve({ ...options, onListen() {} }, fetchOne);
