/**
 * A policy: prefers backends in the proxy's own zone, and among them the one
 * with the fewest requests in flight; uses other zones only while none of them
 * is available.
 *
 * ```sh
 * NEAR=http://127.0.0.1:3000 FAR=http://127.0.0.1:3001 deno run --allow-net --allow-env examples/zones.ts
 * NEAR=http://127.0.0.1:3000 FAR=http://127.0.0.1:3001 bun run examples/zones.ts
 * ```
 */
import process from "node:process";
import { createProxy, type Policy, serve } from "../mod.ts";

const { NEAR = "", FAR = "", PORT = "8080" } = process.env;
const near = new Set(NEAR.split(","));
const policy: Policy = (backends, accepts) => {
  const available = backends.filter(accepts);
  const here = available.filter(({ url }) => near.has(url));
  const candidates = here.length > 0 ? here : available;
  return candidates.sort((a, b) => a.inFlight - b.inFlight)[0];
};
const proxy = createProxy({
  backends: [...near, ...FAR.split(",")],
  policy,
  health: { intervalMs: 1_000, timeoutMs: 500, fall: 1 },
});
serve(proxy, { host: "127.0.0.1", port: Number(PORT) });
