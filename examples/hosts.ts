/**
 * Two pools by host name: `api.…` goes to one of them, every other name to the
 * other.
 *
 * ```sh
 * API=http://127.0.0.1:3000 SITE=http://127.0.0.1:3001 deno run --allow-net --allow-env examples/hosts.ts
 * API=http://127.0.0.1:3000 SITE=http://127.0.0.1:3001 bun run examples/hosts.ts
 * ```
 */
import process from "node:process";
import { createProxy, serve } from "../mod.ts";

const { API = "", SITE = "", PORT = "8080" } = process.env;
const api = createProxy({ backends: API.split(",") });
const site = createProxy({ backends: SITE.split(",") });
const server = serve(site, {
  host: "127.0.0.1",
  port: Number(PORT),
  fetch(request, connection) {
    const isApi = request.headers.get("host")?.startsWith("api.");
    return (isApi ? api : site).fetch(request, connection);
  },
});
server.finished.then(() => api.stop());
