/**
 * Looks up host names with the system's resolver, with their time to live.
 *
 * Uses `getaddrinfo`, as the runtimes' `fetch` does, so that `/etc/hosts` and
 * search domains apply (most names in Kubernetes and Docker need them). It does
 * not return a time to live; a second query to the name server does, if that is
 * permitted.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";
import type { Lookup } from "../config/options.ts";
import { outOfDescriptors } from "./descriptors.ts";

/** Milliseconds to wait for the time to live. */
const TTL_TIMEOUT_MS = 500;

/** Looks up a name with the system's resolver. */
export const systemLookup: Lookup = async (host) => {
  const dns = builtin("node:dns/promises");
  const ttl = ttlOf(host);
  const found = await dns.lookup(host, { all: true }).catch((error) => {
    // Without a descriptor, both runtimes report "not found".
    if (!outOfDescriptors()) throw error;
    throw new Error("this process is out of file descriptors");
  });
  return {
    addresses: found.map(({ address }) => address),
    ttlMs: await ttl,
  };
};

/** The part of Deno's global that shows whether DNS queries are permitted. */
interface DenoPermissions {
  permissions?: { querySync(descriptor: { name: "net" }): { state: string } };
}

/** The shortest time to live of a name's addresses. */
function ttlOf(host: string): Promise<number | undefined> {
  const { Deno } = globalThis as { Deno?: DenoPermissions };
  // If only some hosts are permitted, Deno would prompt for the name server.
  if (
    Deno?.permissions !== undefined &&
    Deno.permissions.querySync({ name: "net" }).state !== "granted"
  ) return Promise.resolve(undefined);
  const dns = builtin("node:dns/promises");
  const asked = [dns.resolve4, dns.resolve6].map((resolve) =>
    // Both runtimes throw synchronously if it is not permitted.
    Promise.resolve().then(() => resolve(host, { ttl: true })).catch(() => [])
  );
  let timer: ReturnType<typeof setTimeout>;
  return Promise.race([
    Promise.all(asked).then((answers) => {
      const ttls = answers.flat().map(({ ttl }) => ttl * 1000);
      return ttls.length > 0 ? Math.min(...ttls) : undefined;
    }),
    new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), TTL_TIMEOUT_MS);
    }),
  ]).finally(() => clearTimeout(timer));
}
