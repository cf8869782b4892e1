/**
 * A login check: a request without the password gets a 401 and does not reach a
 * backend. Drains on SIGTERM, and has an admin port.
 *
 * ```sh
 * BACKENDS=http://127.0.0.1:3000 LOGIN=me:secret deno run --allow-net --allow-env examples/login.ts
 * BACKENDS=http://127.0.0.1:3000 LOGIN=me:secret bun run examples/login.ts
 * ```
 */
import process from "node:process";
import { createProxy, serve } from "../mod.ts";

const { BACKENDS = "", LOGIN = "", PORT = "8080" } = process.env;
const headers = { "www-authenticate": "Basic" };
const proxy = createProxy({
  backends: BACKENDS.split(","),
  onRequest: (headers) => headers.delete("authorization"),
});
const server = serve(proxy, {
  host: "127.0.0.1",
  port: Number(PORT),
  admin: { port: 0 },
  fetch: (request, connection) =>
    request.headers.get("authorization") === `Basic ${btoa(LOGIN)}`
      ? proxy.fetch(request, connection)
      : new Response("Log in first\n", { status: 401, headers }),
});
console.error(`the dashboard is at ${server.adminUrl}/`);
process.once("SIGTERM", () => server.stop().then(() => process.exit(0)));
