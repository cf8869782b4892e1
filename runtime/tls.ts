/**
 * Whether this runtime can use certificates and keys, checked without a
 * connection.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";
import { messageOf } from "../base/text.ts";
import type { BackendTlsOptions } from "../config/options.ts";

/** The part of Deno's global that is used. */
interface DenoGlobal {
  createHttpClient(
    options: { caCerts?: string[]; cert?: string; key?: string },
  ): { close(): void };
}

/**
 * The runtime's own message why it cannot use them, if it cannot.
 *
 * Deno's TLS differs from `node:tls` and accepts other kinds of keys, so the
 * check uses what its `fetch` and its server use. Neither way connects or needs
 * a permission.
 */
export function tlsFault(
  { ca, cert, key }: BackendTlsOptions,
): string | undefined {
  const { Deno: deno } = globalThis as { Deno?: DenoGlobal };
  const given = {
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
  try {
    if (deno === undefined) {
      const { createSecureContext } = builtin("node:tls");
      createSecureContext(ca === undefined ? given : { ...given, ca });
    } else {
      const more = ca === undefined ? {} : { caCerts: [ca] };
      deno.createHttpClient({ ...given, ...more }).close();
    }
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
