/**
 * `HTTP_PROXY` and similar variables: `fetch` obeys them on both runtimes, so
 * one that is set for other programs would divert every request and every
 * probe, loopback included.
 *
 * @module
 */

import { holds, parseAddress, parseCidr } from "./address.ts";

/** Reads an environment variable. */
export type Env = (name: string) => string | undefined;

const VARIABLES: Record<string, readonly string[]> = {
  "http:": ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
  "https:": ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
};

/** All of these variables. */
export const PROXY_VARIABLES: readonly string[] = [
  ...new Set(Object.values(VARIABLES).flat()),
];

/**
 * The fault that variables would divert requests to some of the backends
 * (normalized URLs), as one line, or `undefined`. Values are not shown: they
 * may hold a password.
 *
 * `unix:` backends are not concerned: neither runtime uses a proxy for them.
 * The addresses of a name with `resolve` are not known here: if the name is
 * exempt, its addresses are assumed to be.
 */
export function proxyVariableFault(
  urls: readonly string[],
  env: Env,
): string | undefined {
  const names = new Set<string>();
  const hosts = new Set<string>();
  for (const url of urls) {
    const { protocol, hostname } = new URL(url);
    const standing = VARIABLES[protocol]?.filter((name) => env(name)) ?? [];
    const bare = hostname.replace(/^\[|\]$/g, "");
    if (standing.length === 0 || isExempt(bare, env)) continue;
    for (const name of standing) names.add(name);
    hosts.add(bare);
  }
  if (names.size === 0) return undefined;
  const list = [...hosts].join(",");
  return `${[...names].join(", ")}: would divert the requests to ${list}: ` +
    `unset it, or add to NO_PROXY: ${list}`;
}

/**
 * Only forms that both runtimes honour count (tried with Deno 2.9.6 and Bun
 * 1.4.5): comma-separated; `*` for names, which on Deno exempts no address; a
 * name or a suffix of one, in lower case; an address or a CIDR. Not
 * `host:port`, brackets or `*.suffix`, which only Bun knows.
 */
function isExempt(host: string, env: Env): boolean {
  // Deno prefers the upper-case variable even if it is empty; Bun prefers the
  // lower-case one unless it is empty. So the host must be in both.
  const lists = [
    env("NO_PROXY") ?? env("no_proxy") ?? "",
    env("no_proxy") || env("NO_PROXY") || "",
  ];
  const address = parseAddress(host);
  return lists.every((list) =>
    list.split(",").map((item) => item.trim()).some((item) => {
      if (address !== undefined) {
        const cidr = parseCidr(item);
        return cidr !== undefined && holds(cidr, address);
      }
      const suffix = item.replace(/^\./, "");
      return item === "*" || host === suffix ||
        suffix !== "" && host.endsWith(`.${suffix}`);
    })
  );
}
