/**
 * Path prefixes to two pools: `/api/…` goes to one of them, without the prefix
 * and with a field added; everything else goes to the other.
 *
 * ```sh
 * API=http://127.0.0.1:3000 SITE=http://127.0.0.1:3001 deno run --allow-net --allow-env examples/prefixes.ts
 * API=http://127.0.0.1:3000 SITE=http://127.0.0.1:3001 bun run examples/prefixes.ts
 * ```
 */
import process from "node:process";
import { createProxy, serve } from "../mod.ts";

const { API = "", SITE = "", PORT = "8080" } = process.env;
const site = createProxy({ backends: SITE.split(",") });
const api = createProxy({
  backends: API.split(","),
  onRequest: (headers) => headers.set("x-forwarded-prefix", "/api"),
});
const server = serve(site, {
  host: "127.0.0.1",
  port: Number(PORT),
  fetch(request, connection) {
    const url = new URL(request.url);
    const isApi = url.pathname.startsWith("/api/");
    if (!isApi) return site.fetch(request, connection);
    url.pathname = url.pathname.slice("/api".length);
    return api.fetch(new Request(url, request), connection);
  },
});
server.finished.then(() => api.stop());
