/**
 * The proxy as a module that the runtime's own server runs: `deno serve` with
 * its flags, or Bun, which serves a default export.
 *
 * ```sh
 * BACKENDS=http://127.0.0.1:3000 deno serve --allow-net --allow-env examples/deno_serve.ts
 * BACKENDS=http://127.0.0.1:3000 bun run examples/deno_serve.ts
 * ```
 *
 * `mod.ts` has no default export, since it listens by itself when it is run.
 *
 * @module
 */

import process from "node:process";
import { createProxy } from "../mod.ts";

const proxy = createProxy({
  backends: (process.env.BACKENDS ?? "http://127.0.0.1:3000").split(","),
});

export default { fetch: proxy.fetch };
