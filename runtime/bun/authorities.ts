/**
 * Which authorities Bun believes. A private one is believed in addition to the
 * usual ones, as on Deno, where Bun would have it in their place.
 *
 * @module
 */

import { builtin } from "../../base/builtin.ts";
import type { TransportOptions } from "../transport_options.ts";

/** TLS towards backends, as Bun takes it. */
export interface BunTls {
  ca?: string;
  cert?: string;
  key?: string;
  servername?: string;
}

/** The same options with the usual authorities; none if there are none. */
export function withUsualAuthorities(
  options: TransportOptions["tls"],
): BunTls | undefined {
  const { ca, cert, key } = options ?? {};
  if (ca === undefined && cert === undefined) return undefined;
  return {
    // One text: a list of them is read anew for each connection, which takes
    // longer.
    ...(ca === undefined ? {} : { ca: `${usualAuthorities()}\n${ca}` }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

/** The authorities that are believed when none is named, as PEM text. */
function usualAuthorities(): string {
  const tls = builtin("node:tls");
  const { getCACertificates } = tls as {
    // Not in the types that Deno has of `node:tls`.
    getCACertificates?: (which: "default") => readonly string[];
  };
  return (getCACertificates?.("default") ?? tls.rootCertificates).join("\n");
}
