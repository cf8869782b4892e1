/**
 * Your own policy: a backend reports its capacity in its health response
 * (`X-Capacity`), and gets requests in proportion.
 *
 * ```sh
 * BACKENDS=http://127.0.0.1:3000,http://127.0.0.1:3001 deno run --allow-net --allow-env examples/capacity.ts
 * BACKENDS=http://127.0.0.1:3000,http://127.0.0.1:3001 bun run examples/capacity.ts
 * ```
 */
import process from "node:process";
import { type Backend, createProxy, type Policy, serve } from "../mod.ts";

const capacities = new WeakMap<Backend, number>();
const check = async (backend: Backend, signal: AbortSignal) => {
  const answer = await fetch(`${backend.url}/health`, { signal });
  await answer.body?.cancel();
  capacities.set(backend, Number(answer.headers.get("x-capacity") ?? 1));
  return answer.ok || `status ${answer.status}`;
};
const policy: Policy = (backends, accepts) => {
  const able = backends.filter(accepts);
  const capacity = (backend: Backend) => capacities.get(backend) ?? 1;
  let draw = Math.random() * able.reduce((sum, b) => sum + capacity(b), 0);
  return able.find((b) => (draw -= capacity(b)) < 0) ?? able.at(-1);
};
const { BACKENDS = "", PORT = "8080" } = process.env;
const health = { check, intervalMs: 1_000, timeoutMs: 500 };
const proxy = createProxy({ backends: BACKENDS.split(","), policy, health });
serve(proxy, { host: "127.0.0.1", port: Number(PORT) });
