/**
 * Editing header fields: a key that only the backend sees, and fields of the
 * answer that every page should have, or should not.
 *
 * ```sh
 * BACKENDS=http://127.0.0.1:3000 deno run --allow-net --allow-env examples/headers.ts
 * BACKENDS=http://127.0.0.1:3000 bun run examples/headers.ts
 * ```
 */
import process from "node:process";
import { createProxy, serve } from "../mod.ts";

const { BACKENDS = "", PORT = "8080" } = process.env;
const proxy = createProxy({
  backends: BACKENDS.split(","),
  onRequest(headers) {
    headers.set("x-api-key", "only-the-backend-sees-this");
    headers.delete("cookie");
  },
  onResponse({ headers }) {
    headers.set("strict-transport-security", "max-age=63072000");
    headers.delete("x-powered-by");
  },
});
serve(proxy, { host: "127.0.0.1", port: Number(PORT) });
