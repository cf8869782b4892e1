/**
 * How the system looks a host name up, and for how long that holds.
 *
 * Names are asked for as the runtimes' own `fetch` does, with `getaddrinfo`, so
 * that `/etc/hosts` and search domains count (in Kubernetes and Docker most names
 * need them). That tells no time to live; a second question to the name server
 * does, where it can be asked.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";
import type { Lookup } from "../config/options.ts";
import { outOfDescriptors } from "./descriptors.ts";

/** Milliseconds that a time to live may be late for, before it is not awaited. */
const TTL_PATIENCE_MS = 500;

/** Looks a name up with the system's resolver. */
export const systemLookup: Lookup = async (host) => {
  const dns = builtin("node:dns/promises");
  const ttl = ttlOf(host);
  const found = await dns.lookup(host, { all: true }).catch((error) => {
    // What cannot be asked for "is not found", on both runtimes.
    if (!outOfDescriptors()) throw error;
    throw new Error("this process is out of file descriptors");
  });
  return {
    addresses: found.map(({ address }) => address),
    ttlMs: await ttl,
  };
};

/** The part of Deno's global that tells whether the name server may be asked. */
interface DenoPermissions {
  permissions?: { querySync(descriptor: { name: "net" }): { state: string } };
}

/** The shortest time to live of a name's addresses. */
function ttlOf(host: string): Promise<number | undefined> {
  const { Deno } = globalThis as { Deno?: DenoPermissions };
  // Where only some hosts are permitted, Deno would ask a person about the name
  // server; this is not worth it.
  if (
    Deno?.permissions !== undefined &&
    Deno.permissions.querySync({ name: "net" }).state !== "granted"
  ) return Promise.resolve(undefined);
  const dns = builtin("node:dns/promises");
  const asked = [dns.resolve4, dns.resolve6].map((resolve) =>
    // Both runtimes throw here and now when something is not permitted.
    Promise.resolve().then(() => resolve(host, { ttl: true })).catch(() => [])
  );
  let timer: ReturnType<typeof setTimeout>;
  return Promise.race([
    Promise.all(asked).then((answers) => {
      const ttls = answers.flat().map(({ ttl }) => ttl * 1000);
      return ttls.length > 0 ? Math.min(...ttls) : undefined;
    }),
    new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), TTL_PATIENCE_MS);
    }),
  ]).finally(() => clearTimeout(timer));
}
