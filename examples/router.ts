/**
 * Two pools inside a router: one for the API, one for the site, and some
 * responses of this process. Works with any router that passes `Request`s.
 *
 * ```sh
 * API=http://127.0.0.1:3000 SITE=http://127.0.0.1:3001 deno serve --allow-net --allow-env examples/router.ts
 * API=http://127.0.0.1:3000 SITE=http://127.0.0.1:3001 bun run examples/router.ts
 * ```
 *
 * @module
 */

import process from "node:process";
import { createProxy } from "../mod.ts";

const api = createProxy({
  backends: (process.env.API ?? "http://127.0.0.1:3000").split(","),
  timeoutMs: 5_000,
});
const site = createProxy({
  backends: (process.env.SITE ?? "http://127.0.0.1:3001").split(","),
});

/** A route: its path and its handler. */
type Route = [
  pattern: RegExp,
  handler: (
    request: Request,
    connection: unknown,
  ) => Response | Promise<Response>,
];

const routes: Route[] = [
  [/^\/api\//, api.fetch],
  [/^\/robots\.txt$/, () => new Response("User-agent: *\nDisallow: /\n")],
  [/^\//, site.fetch],
];

export default {
  fetch(
    request: Request,
    connection: unknown,
  ): Response | Promise<Response> {
    const { pathname } = new URL(request.url);
    const route = routes.find(([pattern]) => pattern.test(pathname));
    return route === undefined
      ? new Response("Not found\n", { status: 404 })
      : route[1](request, connection);
  },
};
