/**
 * The list of backends as text: `BACKENDS`, or the lines of `BACKENDS_FILE`.
 *
 * An entry is refused if anything would read it differently from how it is
 * written: the proxy concatenates base path and request target, so the text
 * here is what goes on the wire.
 *
 * @module
 */

import { parseAddress } from "./address.ts";
import { HIDDEN, withoutCredentials } from "./fault.ts";
import { host as hostGrammar, integer, pathFault } from "./grammar.ts";
import type { Grammar, Result } from "./grammar.ts";
import type { BackendOptions } from "./options.ts";

/** An invalid entry of a list. */
export interface BackendFault {
  /** Line of the text, from 1. */
  readonly line: number;
  /**
   * The entry as written, with possible passwords hidden; empty if the fault
   * concerns the whole list.
   */
  readonly entry: string;
  /** What is wrong and what to write, as the rest of a sentence. */
  readonly wanted: string;
}

/** A parsed list. Use it only if there are no faults. */
export interface BackendList {
  /** The valid entries, with a normalized `url`. */
  readonly backends: BackendOptions[];
  /** The invalid entries. */
  readonly faults: BackendFault[];
}

const EXAMPLE = "http://127.0.0.1:3000";

/**
 * The name of a backend: one word, so that it is safe in a list, in quotes and
 * in a log line. No slash, so that no name can be the URL of another backend.
 */
export const backendName: Grammar<string> = {
  takes: "1 to 64 visible characters",
  parse: (text) =>
    /^[!#-&(-+.0-[\]^_a-~-]{1,64}$/.test(text) ? { value: text } : {
      wanted:
        "is not a name: write 1 to 64 visible ASCII characters other than quotes, commas and slashes",
    },
};

/**
 * Maximum backends of a list with workers. The shared table has room for twice
 * as many: when a list replaces another, new backends are added before old ones
 * are removed.
 */
export const MAX_LISTED = 8191;

/** The ports that `fetch` blocks (Fetch §2.9 "Port blocking"), except 0. */
const BLOCKED_PORTS: ReadonlySet<number> = new Set(
  // Refused on Bun too, which would connect: a list that works there and gives
  // only 502 on Deno helps no one.
  // deno-fmt-ignore
  [
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79,
    87, 95, 101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137,
    139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
    540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723,
    2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
    6679, 6697, 10080,
  ],
);

/**
 * Parses a list of backends, separated by commas or newlines. `#` at the start
 * of a line or after a space begins a comment.
 */
export function parseBackends(text: string): BackendList {
  const backends: BackendOptions[] = [];
  const faults: BackendFault[] = [];
  const seen = new Set<string>();
  for (const [index, raw] of text.split(/\r\n|\r|\n/).entries()) {
    const parts = raw.replace(/(?:^|\s)#.*$/s, "").split(",");
    const split = splitPasswords(parts);
    for (const [i, part] of parts.entries()) {
      const entry = part.trim();
      if (entry === "") continue; // a trailing comma
      const refuse = (wanted: string) =>
        faults.push({
          line: index + 1,
          entry: shown(entry, split[i]!),
          wanted,
        });
      const result = parseBackend(entry);
      if ("wanted" in result) {
        refuse(result.wanted);
        continue;
      }
      const { url, name = url } = result.value;
      if (seen.has(url)) {
        refuse(`is listed twice, as ${url}: list it once`);
      } else if (seen.has(name)) {
        refuse(`uses a name that is taken, ${name}: choose another name`);
      } else {
        seen.add(url).add(name);
        backends.push(result.value);
      }
    }
  }
  if (faults.length === 0) {
    const wanted = listFault(backends);
    if (wanted !== undefined) faults.push({ line: 1, entry: "", wanted });
  }
  return { backends, faults };
}

/** Parses one entry: a URL, then words separated by spaces. */
export function parseBackend(entry: string): Result<BackendOptions> {
  const [address = "", ...words] = entry.trim().split(/\s+/);
  const url = parseBackendUrl(address);
  if ("wanted" in url) return url;
  const backend: { -readonly [K in keyof BackendOptions]: BackendOptions[K] } =
    {
      url: url.value,
    };
  const seen = new Set<string>();
  for (const word of words) {
    const [, name = "", value] = /^([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (seen.has(name)) return { wanted: `has ${name} twice: write it once` };
    seen.add(name);
    if (word === "backup") {
      backend.backup = true;
    } else if (word === "resolve") {
      if (!canResolve(url.value)) {
        return {
          wanted: "has resolve, but no host name to look up: remove resolve",
        };
      }
      backend.resolve = true;
    } else if (name === "name") {
      const named = backendName.parse(value ?? "");
      if ("wanted" in named) {
        return { wanted: `has an invalid name, which ${named.wanted}` };
      }
      backend.name = named.value;
    } else if (name === "weight" || name === "max_conns") {
      const [min, max] = name === "weight" ? [0, 1000] : [1, 1_000_000];
      const number = integer(min, max).parse(value ?? "");
      if ("wanted" in number) {
        return {
          wanted: `has an invalid ${name}: ` +
            `write ${name}= and a whole number from ${min} to ${max}`,
        };
      }
      backend[name === "weight" ? "weight" : "maxConns"] = number.value;
    } else {
      return {
        wanted: /^[a-z]+:\//i.test(word)
          ? "contains two backends: write a comma between them"
          : "has an unknown word: after the URL write weight=3, backup, max_conns=100, resolve or name=web-1",
      };
    }
  }
  return { value: backend };
}

/**
 * Parses and normalizes the URL of a backend: scheme and host in lower case, no
 * default port, no slash at the end of the base path.
 */
export function parseBackendUrl(text: string): Result<string> {
  if (/^unix:/i.test(text)) return unixUrl(text.slice("unix:".length));
  const match = /^([a-z][a-z\d+.-]*):\/\/([^/?#\\]*)(.*)$/is.exec(text);
  if (match === null) return { wanted: schemeMissing(text) };
  const scheme = match[1]!.toLowerCase();
  const authority = match[2]!;
  const rest = match[3]!;
  if (scheme !== "http" && scheme !== "https") {
    // `ws:` is a likely mistake: WebSockets are bridged to `http:` backends.
    return {
      wanted: "has an unsupported scheme: write http://, https:// or unix:/",
    };
  }
  if (authority.includes("@")) {
    return { wanted: "contains credentials: write the URL without them" };
  }
  const [, host = "", port] =
    /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(authority) ?? [];
  const wanted = hostFault(host) ?? portFault(port) ?? restFault(rest);
  if (wanted !== undefined) return { wanted };
  const usual = scheme === "http" ? 80 : 443;
  return {
    value: `${scheme}://${normalHost(host)}` +
      (port === undefined || Number(port) === usual ? "" : `:${Number(port)}`) +
      rest.replace(/\/$/, ""),
  };
}

/**
 * An entry for a message. `http://user:pa,ss@host` is split into two entries,
 * and neither may show its part of the password: `continued` means that the
 * next entry has no scheme and an `@`.
 */
function shown(entry: string, continued: boolean): string {
  if (/^unix:/i.test(entry)) return entry;
  const start = /^(?:[a-z][a-z\d+.-]*:)?\/\//i.exec(entry)?.[0].length ?? 0;
  if (continued) return entry.slice(0, start) + HIDDEN;
  const plain = withoutCredentials(entry, start);
  // `user:password` without the rest. `localhost:http` is not that.
  return start > 0 ? plain : plain.replace(
    /^((?!localhost:)[\w-]+:)(?=[^/\s]*[^\d/\s])[^/\s]+/,
    "$1***",
  );
}

/**
 * For each comma-separated part of a line, whether it may hold the first part
 * of a password. Scans from the end, to be linear.
 */
function splitPasswords(parts: readonly string[]): boolean[] {
  const split = parts.map(() => false);
  for (let i = parts.length - 1; i > 0; i--) {
    const next = parts[i]!;
    split[i - 1] = !/^\s*(?:[a-z][a-z\d+.-]*:\/\/|unix:)/i.test(next) &&
      (split[i]! || next.includes("@"));
  }
  return split;
}

function listFault(backends: readonly BackendOptions[]): string | undefined {
  if (backends.length === 0) return `contains no backend: write ${EXAMPLE}`;
  return backends.every(({ weight }) => weight === 0)
    ? "has weight=0 for every backend, so none would get a request: write a weight from 1 to 1000"
    : undefined;
}

function unixUrl(path: string): Result<string> {
  const plain = /^\/(?:[^/]+\/)*[^/]+$/.test(path) &&
    !path.split("/").some((part) => part === "." || part === "..");
  // deno-lint-ignore no-control-regex
  if (!plain || /[?#\0-\x1f\x7f]/.test(path)) {
    return {
      wanted:
        "has no plain absolute path after unix: write it as in unix:/run/app.sock",
    };
  }
  // Linux's `sockaddr_un` holds 108 bytes, the terminating one included.
  return new TextEncoder().encode(path).length <= 107
    ? { value: `unix:${path}` }
    : { wanted: "is too long for a socket: write a path of at most 107 bytes" };
}

function schemeMissing(text: string): string {
  // A text that may hold a password is not repeated.
  if (/^\/[^/@]+(?:\/[^/@]+)*$/.test(text)) {
    return `has no scheme: write unix:${text}`;
  }
  const [, scheme = "http:", rest = ""] =
    /^(https?:)?\/{0,2}(.*)$/is.exec(text) ?? [];
  const meant = parseBackendUrl(`${scheme}//${rest}`);
  // An unusable text is not repeated: it may hold a password.
  return `has no scheme: write ${"value" in meant ? meant.value : EXAMPLE}`;
}

function hostFault(host: string): string | undefined {
  if (host === "") return `has no host: write ${EXAMPLE}`;
  const normal = normalHost(host);
  if (normal === undefined) {
    return "has a host that is neither a name nor an address: write one";
  }
  // All spellings of IPv6 are unambiguous. A name that is read as another name,
  // or as an address (`0x7f.1`), is not.
  return host.startsWith("[") || normal === host.toLowerCase()
    ? undefined
    : `has a host that means ${normal}: write that`;
}

function normalHost(host: string): string | undefined {
  const bare = /^\[(.*)\]$/.exec(host)?.[1];
  if (bare !== undefined && parseAddress(bare) === undefined) return undefined;
  try {
    const { hostname } = new URL(`http://${host}/`);
    // A trailing dot is fine: it marks a complete name, without search domains.
    const known = "value" in hostGrammar.parse(hostname.replace(/\.$/, ""));
    return known ? hostname : undefined;
  } catch {
    return undefined; // `new URL()` throws on nothing else
  }
}

function portFault(port: string | undefined): string | undefined {
  if (port === undefined) return undefined;
  const number = /^\d{1,5}$/.test(port) ? Number(port) : NaN;
  if (!(number >= 1 && number <= 65535)) {
    return "has an invalid port: write a number from 1 to 65535";
  }
  return BLOCKED_PORTS.has(number)
    ? `has a port that fetch blocks (Fetch §2.9, port blocking): let the backend listen on another port than ${number}`
    : undefined;
}

function restFault(rest: string): string | undefined {
  if (rest === "") return undefined;
  if (rest.includes("#")) return "has a fragment: write the URL without #";
  if (rest.includes("?")) return "has a query: write the URL without ?";
  return pathFault(rest);
}

function canResolve(url: string): boolean {
  if (url.startsWith("unix:")) return false;
  const { hostname } = new URL(url);
  return parseAddress(hostname.replace(/^\[|\]$/g, "")) === undefined;
}
