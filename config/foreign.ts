/**
 * Variables that the runtimes obey and that are not our settings: they may be
 * set for other programs, and would change what this one does.
 *
 * @module
 */

import { type Env, PROXY_VARIABLES, proxyVariableFault } from "./no_proxy.ts";

/** Variables that a runtime obeys, in display order. */
export const FOREIGN_VARIABLES: readonly string[] = [
  ...PROXY_VARIABLES,
  "NO_PROXY",
  "no_proxy",
  "DENO_SERVE_ADDRESS",
  "DENO_SERVE_AUTOMATIC_COMPRESSION",
  "NODE_TLS_REJECT_UNAUTHORIZED",
];

/**
 * What is wrong with the environment for these backends (normalized URLs), one
 * line each. No value is shown.
 */
export function foreignFaults(urls: readonly string[], env: Env): string[] {
  const faults: string[] = [];
  const diverted = proxyVariableFault(urls, env);
  if (diverted !== undefined) faults.push(diverted);
  // Node's switch. Bun's `fetch` obeys it, and `node:tls` on both runtimes,
  // which carries WebSocket connections: any server could pose as a backend.
  if (
    env("NODE_TLS_REJECT_UNAUTHORIZED") === "0" &&
    urls.some((url) => url.startsWith("https:"))
  ) {
    faults.push(
      "NODE_TLS_REJECT_UNAUTHORIZED: would accept any certificate: " +
        "unset it, and set BACKEND_CA for a private authority",
    );
  }
  return faults;
}

/** The fault that Deno would listen elsewhere than at HOST and PORT, if so. */
export function listenFault(env: Env): string | undefined {
  return env("DENO_SERVE_ADDRESS")
    ? "DENO_SERVE_ADDRESS: would override HOST and PORT: unset it"
    : undefined;
}

/**
 * Relevant variables that may not be read. Deno obeys them nevertheless: its
 * permissions restrict the program, not the runtime. `secure`: whether
 * clients connect with TLS.
 */
export function unreadable(
  urls: readonly string[],
  secure: boolean,
  mayRead: (name: string) => boolean,
): string[] {
  const uses = (scheme: string) => urls.some((url) => url.startsWith(scheme));
  return FOREIGN_VARIABLES.filter((name) => {
    // These two have no effect without the others.
    if (/^no_proxy$/i.test(name) || mayRead(name)) return false;
    if (/^http_proxy$/i.test(name)) return uses("http:");
    if (/^https_proxy$/i.test(name)) return uses("https:");
    if (/^all_proxy$/i.test(name)) return uses("http:") || uses("https:");
    if (name === "DENO_SERVE_ADDRESS") return true;
    // Without TLS an option of Deno's overrules it; where it can be read and is
    // set, that option is used with TLS too.
    if (name === "DENO_SERVE_AUTOMATIC_COMPRESSION") return secure;
    return uses("https:");
  });
}
