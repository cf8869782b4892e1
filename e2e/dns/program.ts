/**
 * A proxy of one name, which is resolved by the test's own name server through
 * the option `lookup`; the machine's resolver is not used.
 *
 * @module
 */

import { Resolver } from "node:dns/promises";
import process from "node:process";
import { createProxy, type LookupResult, serve } from "../../mod.ts";

const { DNS_SERVER = "", NAMED = "", HOST_HEADER, CA, TRANSPORT } = process.env;
// A name server that is away is noticed soon: by default it takes 8 s on Deno and
// 20 s on Bun.
const resolver = new Resolver({ timeout: 2_000, tries: 1 });
resolver.setServers([DNS_SERVER]);

async function lookup(host: string): Promise<LookupResult> {
  const found = await resolver.resolve4(host, { ttl: true });
  return {
    addresses: found.map(({ address }) => address),
    ttlMs: Math.min(...found.map(({ ttl }) => ttl * 1000)),
  };
}

const proxy = createProxy({
  backends: [{ url: NAMED, resolve: true }],
  health: { path: "/health", intervalMs: 5_000, timeoutMs: 4_000 },
  hostHeader: HOST_HEADER === "backend" ? "backend" : "preserve",
  backendTls: { ca: CA },
  transport: TRANSPORT as "auto" | "fetch" | "socket" | undefined,
  lookup,
});
await proxy.ready;
const server = serve(proxy, { port: 0, host: "127.0.0.1" });
console.error(`listening on ${server.url} (${proxy.pool.size} backends)`);
process.on("SIGTERM", () => server.stop().then(() => process.exit(0)));
