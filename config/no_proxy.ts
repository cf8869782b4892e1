/**
 * `HTTP_PROXY` and its like: `fetch` obeys them on both runtimes, so a variable
 * that stands in the environment for other programs would send every request
 * and every probe somewhere else, loopback included.
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

/** All of them. */
export const PROXY_VARIABLES: readonly string[] = [
  ...new Set(Object.values(VARIABLES).flat()),
];

/**
 * Says which variables would divert requests to which of the backends (URLs in
 * normal form), as one line, or returns `undefined`. A variable's value is not
 * shown: it may hold a password.
 *
 * `unix:` backends are not concerned: neither runtime asks a proxy for them.
 * Nor can it be known here what a name is looked up to: with `resolve`, an
 * exempt name is taken to stand for exempt addresses.
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
 * Only forms that both runtimes honour count (Deno 2.9.6 and Bun 1.4.5, tried):
 * commas between; `*` for names, which in Deno exempts no address; a name or a
 * suffix of one, in lower case; an address or a CIDR. Not `host:port`, brackets
 * or `*.suffix`, which are Bun's alone.
 */
function isExempt(host: string, env: Env): boolean {
  // Deno takes the upper-case variable even when it is empty; Bun takes the
  // lower-case one unless it is. So the host has to be in both.
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
