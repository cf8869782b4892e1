/**
 * Whether this runtime can use certificates and keys, found out without a
 * connection.
 *
 * @module
 */

import tls from "node:tls";
import { messageOf } from "../base/text.ts";
import type { BackendTlsOptions } from "../config/options.ts";

/** What is used of Deno's global. */
interface DenoGlobal {
  createHttpClient(
    options: { caCerts?: string[]; cert?: string; key?: string },
  ): { close(): void };
}

/**
 * Says in the runtime's own words why it cannot use these; nothing if it can.
 *
 * Deno has TLS of its own beside `node:tls`, and other kinds of keys, so it is
 * asked by what its `fetch` and its server are made of. Neither way connects or
 * needs a permission.
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
      tls.createSecureContext(ca === undefined ? given : { ...given, ca });
    } else {
      const more = ca === undefined ? {} : { caCerts: [ca] };
      deno.createHttpClient({ ...given, ...more }).close();
    }
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
