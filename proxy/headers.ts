/**
 * Header fields on their way through: which are dropped, which are added.
 *
 * The rules are RFC 9110 §7.6. They are data here (tables of names) and one
 * pass over the fields, since this runs for every request. Names come from the
 * runtimes in lower case.
 *
 * @module
 */

import { type AddressMatcher, plainAddress } from "./addresses.ts";

/** Field lines as `fetch` takes them: the only form that keeps two lines two. */
export type Fields = [name: string, value: string][];

/** What is read of a request's fields; names are in lower case. */
export type Read = Pick<Headers, "get"> & {
  forEach(take: (value: string, name: string) => void): void;
};

/** Fields as a list of lines, each name once. */
export class Lines implements Read {
  readonly #lines: Fields;

  /** Takes the list as it is. */
  constructor(lines: Fields) {
    this.#lines = lines;
  }

  /** The value of a field, or `null`. */
  get(name: string): string | null {
    const lines = this.#lines;
    for (let i = 0; i < lines.length; i++) {
      if (lines[i]![0] === name) return lines[i]![1];
    }
    return null;
  }

  /** Gives each line. */
  forEach(take: (value: string, name: string) => void): void {
    const lines = this.#lines;
    for (let i = 0; i < lines.length; i++) take(lines[i]![1], lines[i]![0]);
  }
}

/**
 * Never forwarded from a client. The framing is the sender's business on each
 * connection, `Host` is set anew, and the rest concerns one connection only.
 */
const REQUEST_DROPPED: ReadonlySet<string> = new Set([
  // RFC 9110 §7.6.1.
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
  // RFC 9110 §6.6.2: `fetch` sends no trailers, so none may be announced.
  "trailer",
  // RFC 9110 §10.1.1: both runtimes have answered 100 (Continue) themselves.
  "expect",
  // RFC 7540 §3.2.1: goes with `Upgrade: h2c`, which is dropped.
  "http2-settings",
  // Addressed to this proxy, and may hold the admin token.
  "sluice-debug",
  // CVE-2016-5385 ("httpoxy"): CGI makes HTTP_PROXY of it.
  "proxy",
  "host",
  // Said anew with the body, or not at all when there is none: a length without
  // its bytes would make the next request a part of this one.
  "content-length",
]);

/**
 * Whether a name is among these. Most are told by their length alone, which
 * spares hashing names that the runtime has just made. On Deno `strip`, which
 * asked a set for each, was 0.8 µs of the about 80 of a small request.
 */
function among(names: ReadonlySet<string>): (name: string) => boolean {
  let lengths = 0;
  for (const { length } of names) lengths |= 1 << length;
  return (name) => (lengths >> name.length & 1) === 1 && names.has(name);
}

const isRequestDropped = among(REQUEST_DROPPED);

/** Never passed back to a client: RFC 9110 §7.6.1 and trailers again. */
export const RESPONSE_DROPPED: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Whether a field of an answer is never passed back; names in lower case. */
export const isResponseDropped = among(RESPONSE_DROPPED);

/**
 * What `Connection` must not name away: routing and framing, which would let a
 * client change how the message is read behind us, and what a proxy before us
 * has said (CVE-2024-45410 was a proxy that let its own fields be removed so).
 */
function canBeNamed(name: string): boolean {
  return name !== "host" && name !== "content-length" && name !== "via" &&
    !isForwarding(name);
}

/** Fields that say for whom a request is made; believed from few. */
function isForwarding(name: string): boolean {
  return name.startsWith("x-forwarded-") || name === "forwarded" ||
    name === "x-real-ip" || name === "x-forwarded";
}

/**
 * Names that a `Connection` field lists, as far as they may be removed. Empty
 * and invalid elements are passed over: `Headers` would throw on them.
 */
function named(connection: string | null): ReadonlySet<string> | undefined {
  if (
    connection === null || connection === "keep-alive" ||
    connection === "close"
  ) return undefined;
  let names: Set<string> | undefined;
  for (const element of connection.split(",")) {
    const name = element.trim().toLowerCase();
    if (name !== "" && canBeNamed(name)) (names ??= new Set()).add(name);
  }
  return names;
}

/** What {@linkcode RequestRules.fields} needs to know of a request. */
export interface RequestFacts {
  /** The peer's address, when there is one. */
  peer: string | undefined;
  /** The `Host` that the client sent. */
  host: string;
  /** `http` or `https`. */
  scheme: string;
  /** What `Host` says to the backend. */
  backendHost: string;
}

/** Options for {@linkcode RequestRules}. */
export interface RequestRulesOptions {
  /** Whose forwarding fields are believed. */
  trusts: AddressMatcher | undefined;
  /** Name for `Via`, or none for no `Via`. */
  pseudonym: string | undefined;
}

/** The request's rules, with what is the same for all requests settled once. */
export class RequestRules {
  readonly #trusts: AddressMatcher | undefined;
  readonly #via: string | undefined;
  readonly #pseudonym: string | undefined;

  /** Settles the options once. */
  constructor(options: RequestRulesOptions) {
    this.#trusts = options.trusts;
    this.#pseudonym = options.pseudonym;
    this.#via = options.pseudonym && `1.1 ${options.pseudonym}`;
  }

  /**
   * Whether a request has been here before. The pseudonym is random for each
   * process, so no other proxy is mistaken for this one (RFC 9110 §7.6.3).
   */
  loops(headers: Read): boolean {
    if (this.#pseudonym === undefined) return false;
    const via = headers.get("via");
    return via !== null && via.includes(this.#pseudonym);
  }

  /** The fields to send on. One pass; the result is `fetch`'s own input form. */
  fields(headers: Read, facts: RequestFacts): Fields {
    const { peer, host, scheme, backendHost } = facts;
    const trusted = this.#trusts !== undefined && peer !== undefined &&
      this.#trusts(peer);
    const fields: Fields = [["host", backendHost]];
    let forwardedFor = peer;
    let forwardedHost = host;
    let forwardedProto = scheme;
    let via = this.#via;
    const removed = named(headers.get("connection"));
    headers.forEach((value, sent) => {
      // CGI-like backends read `X_Forwarded_For` as `X-Forwarded-For`, so an
      // alias goes by the rule of the name that it imitates.
      const alias = sent.includes("_");
      const name = alias ? sent.replaceAll("_", "-") : sent;
      if (
        isRequestDropped(name) ||
        (removed !== undefined && removed.has(sent))
      ) return;
      if (alias && name === "via") return;
      // "x" and "f" begin all forwarding names: most fields are done here.
      const first = name.charCodeAt(0);
      if ((first === 120 || first === 102) && isForwarding(name)) {
        if (!trusted || alias) return;
        if (name === "x-forwarded-for") {
          forwardedFor = `${value}, ${peer}`;
        } else if (name === "x-forwarded-host") {
          forwardedHost = value;
        } else if (name === "x-forwarded-proto") {
          forwardedProto = value;
        } else if (name === "forwarded") {
          fields.push([name, `${value}, for=${forwardedNode(peer!)}`]);
        } else {
          fields.push([name, value]);
        }
        return;
      }
      if (name === "via" && via !== undefined) {
        via = `${value}, ${via}`;
        return;
      }
      fields.push([sent, value]);
    });
    if (forwardedFor !== undefined) {
      fields.push(["x-forwarded-for", forwardedFor]);
    }
    fields.push(
      ["x-forwarded-host", forwardedHost],
      ["x-forwarded-proto", forwardedProto],
    );
    if (via !== undefined) fields.push(["via", via]);
    return fields;
  }

  /**
   * The same as {@linkcode fields}, as a `Headers`, for a request in which nothing
   * unusual is found; `undefined` for any other. For a runtime that copies one
   * and changes it faster than it makes one of pairs: on Bun 1.3 µs instead of
   * 3.4 (`bun run bench/hot_bench.ts`), of about 45 for a small request.
   */
  copied(headers: Headers, facts: RequestFacts): Headers | undefined {
    const { peer, host, scheme, backendHost } = facts;
    if (
      named(headers.get("connection")) !== undefined ||
      (peer !== undefined && this.#trusts?.(peer) === true)
    ) return undefined;
    const copy = new Headers(headers);
    for (const name of headers.keys()) {
      if (name.includes("_")) return undefined;
      // Set below, which is the cheaper of the two.
      if (name === "host") continue;
      if (isRequestDropped(name)) {
        copy.delete(name);
        continue;
      }
      const first = name.charCodeAt(0);
      if ((first === 120 || first === 102) && isForwarding(name)) {
        copy.delete(name);
      } else if (name === "via" && this.#via !== undefined) {
        return undefined;
      }
    }
    copy.set("host", backendHost);
    if (peer !== undefined) copy.set("x-forwarded-for", peer);
    copy.set("x-forwarded-host", host);
    copy.set("x-forwarded-proto", scheme);
    if (this.#via !== undefined) copy.set("via", this.#via);
    return copy;
  }

  /**
   * Scheme under which the client came: the connection's, or what a trusted
   * proxy says of it.
   */
  clientScheme(
    headers: Headers,
    peer: string | undefined,
    scheme: string,
  ): string {
    if (peer === undefined || this.#trusts?.(peer) !== true) return scheme;
    return headers.get("x-forwarded-proto") ?? scheme;
  }

  /**
   * Address of the client: the peer's, or what the nearest trusted proxies say
   * of theirs. Read from the right, as far as trust goes: whatever stands left
   * of the first untrusted address may have been made up.
   */
  clientAddress(headers: Headers, peer: string | undefined): string {
    if (peer === undefined) return "-";
    if (this.#trusts === undefined || !this.#trusts(peer)) return peer;
    const list = headers.get("x-forwarded-for");
    if (list === null) return peer;
    let client = peer;
    const addresses = list.split(",");
    for (let i = addresses.length - 1; i >= 0; i--) {
      const address = plainAddress(addresses[i]!.trim());
      if (address === "") break;
      client = address;
      if (!this.#trusts(address)) break;
    }
    return client;
  }
}

/** An address as `Forwarded` writes it (RFC 7239 §6): v6 in quoted brackets. */
function forwardedNode(address: string): string {
  return address.includes(":") ? `"[${address}]"` : address;
}

/** What {@linkcode responseFields} needs to know of an answer. */
export interface ResponseFacts {
  /** Origin of the backend that answered. */
  origin: string;
  /** Path in front of every target there. */
  basePath: string;
  /** Scheme under which the client asked. */
  clientScheme: string;
  /** Authority under which the client asked. */
  clientHost: string;
  /** Fields to add. */
  added: Fields | undefined;
}

/**
 * The fields to answer with, or none when the answer can go out with the
 * backend's fields as they are, which spares a copy.
 */
export function responseFields(
  headers: Headers,
  facts: ResponseFacts,
): Fields | undefined {
  const removed = named(headers.get("connection"));
  const fields: Fields = [];
  let changed = facts.added !== undefined;
  let coded = false;
  headers.forEach((value, name) => {
    if (
      isResponseDropped(name) || (removed !== undefined && removed.has(name))
    ) {
      changed = true;
      if (name === "transfer-encoding") coded = true;
    } else if (name === "location") {
      const location = rewrittenLocation(value, facts);
      if (location !== value) changed = true;
      fields.push([name, location]);
    } else {
      fields.push([name, value]);
    }
  });
  if (!changed) return undefined;
  if (coded) {
    // RFC 9112 §6.3: beside a transfer coding a length means nothing, and Deno's
    // `fetch` shows both. Passed on, it would cut or stretch what was read.
    const at = fields.findIndex(([name]) => name === "content-length");
    if (at >= 0) fields.splice(at, 1);
  }
  if (facts.added !== undefined) fields.push(...facts.added);
  return fields;
}

/**
 * A `Location` at the backend's own origin, made to point back through the
 * proxy: otherwise a redirect would lead the client round it, or to an address
 * that only the proxy can reach.
 */
export function rewrittenLocation(
  location: string,
  { origin, basePath, clientScheme, clientHost }: ResponseFacts,
): string {
  let rest = location;
  let prefix = "";
  if (location.slice(0, origin.length).toLowerCase() === origin) {
    rest = location.slice(origin.length);
    prefix = `${clientScheme}://${clientHost}`;
    // `http://10.0.0.1:80` must not match `http://10.0.0.1:8080`.
    if (rest !== "" && !/^[/?#]/.test(rest)) return location;
  } else if (!location.startsWith("/") || location.startsWith("//")) {
    return location;
  }
  if (basePath !== "") {
    // The base path is ours: the client never sees it. A place outside of it
    // cannot be reached through here and is left as it was said.
    if (!rest.startsWith(basePath)) return location;
    rest = rest.slice(basePath.length);
    if (rest !== "" && !/^[/?#]/.test(rest)) return location;
    if (prefix === "" && !rest.startsWith("/")) rest = `/${rest}`;
  }
  return prefix + rest;
}
