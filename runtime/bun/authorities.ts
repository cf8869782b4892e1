/**
 * The authorities that Bun trusts. A private one is added to the default ones,
 * as on Deno, where Bun would replace them.
 *
 * @module
 */

import { builtin } from "../../base/builtin.ts";
import type { BackendTlsOptions } from "../../config/options.ts";

/** TLS options of Bun towards backends. */
export interface BunTls {
  ca?: string;
  cert?: string;
  key?: string;
  servername?: string;
}

/**
 * The same options with the default authorities; `undefined` if there are none.
 */
export function withUsualAuthorities(
  options: BackendTlsOptions | undefined,
): BunTls | undefined {
  const { ca, cert, key } = options ?? {};
  if (ca === undefined && cert === undefined) return undefined;
  return {
    // One text: a list would be parsed for each connection, which takes longer.
    ...(ca === undefined ? {} : { ca: `${usualAuthorities()}\n${ca}` }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

/** The default authorities, as PEM text. */
function usualAuthorities(): string {
  const tls = builtin("node:tls");
  const { getCACertificates } = tls as {
    // Not in the types that Deno has of `node:tls`.
    getCACertificates?: (which: "default") => readonly string[];
  };
  return (getCACertificates?.("default") ?? tls.rootCertificates).join("\n");
}
