/**
 * Header fields on their way through: which are dropped, which are added, what
 * is believed of them, and what is mapped.
 *
 * One pass over the fields, since this runs for every request; `fields.ts` has
 * the names and `mapping.ts` the URLs.
 *
 * @module
 */

import {
  type AddressMatcher,
  MAX_ADDRESS_LENGTH,
  plainAddress,
} from "./addresses.ts";
import {
  type Fields,
  isAlias,
  isForwarding,
  isRequestDropped,
  isResponseDropped,
  named,
  type Read,
} from "./fields.ts";
import { refuseHost } from "./guard.ts";
import {
  type Asked,
  forBackend,
  forClient,
  isMapped,
  isMappedForBackend,
  type Sides,
} from "./mapping.ts";
import type { Origin } from "./origins.ts";

export { type Fields, isResponseDropped, Lines, type Read } from "./fields.ts";
export { RESPONSE_DROPPED } from "./fields.ts";

/** What the rules need to know of a request. */
export interface RequestParts {
  /** Its method. */
  readonly method: string;
  /** Its fields. */
  readonly fields: Read;
  /** The peer's address, when there is one. */
  readonly peer: string | undefined;
  /** The `Host` that the client sent, if it sent one. */
  readonly host: string | undefined;
  /** The `Host` that a hook has set for the backend, if one has. */
  readonly hookHost?: string | undefined;
  /** Scheme of its connection: `http` or `https`. */
  readonly scheme: string;
}

/** What the rules need to know of a backend. */
export interface BackendParts {
  /** Scheme and authority that it is asked at. */
  readonly origin: string;
  /** Scheme and authority that it goes by. */
  readonly ownOrigin: string;
  /** The authority alone. */
  readonly authority: string;
  /** Path in front of every target there. */
  readonly basePath: string;
  /** Its function, if it is one: that is asked under the client's scheme. */
  readonly answer?: unknown;
}

/** What a backend is told as `Host`: the client's, or its own. */
export type HostHeader = "auto" | "preserve" | "backend";

/** Whether a backend is asked over TLS. */
function isSecure({ origin }: BackendParts): boolean {
  return origin.startsWith("https:");
}

function backendHost(
  { host, hookHost }: RequestParts,
  backend: BackendParts,
  hostHeader: HostHeader,
): string {
  if (hookHost !== undefined) return hookHost;
  const preserve = hostHeader === "preserve" ||
    (hostHeader === "auto" && !isSecure(backend));
  // A client that named none (HTTP/1.0) leaves the backend its own name.
  return preserve && host !== undefined ? host : backend.authority;
}

function backendScheme(
  { scheme }: RequestParts,
  backend: BackendParts,
): string {
  if (backend.answer !== undefined) return scheme;
  return isSecure(backend) ? "https" : "http";
}

/** What {@linkcode RequestRules.fields} needs to know of a request. */
export interface RequestFacts {
  /** Its method. */
  method: string;
  /** The peer's address, when there is one. */
  peer: string | undefined;
  /** The `Host` that the client sent, if it sent one. */
  host: string | undefined;
  /** `http` or `https`. */
  scheme: string;
  /** What `Host` says to the backend. */
  backendHost: string;
  /** Scheme under which the backend is asked. */
  backendScheme: string;
  /** Path in front of every target there. */
  basePath: string;
}

/** What the rules need to know of a request to this backend. */
export function requestFacts(
  request: RequestParts,
  backend: BackendParts,
  hostHeader: HostHeader,
): RequestFacts {
  return {
    method: request.method,
    peer: request.peer,
    host: request.host,
    scheme: request.scheme,
    backendHost: backendHost(request, backend, hostHeader),
    backendScheme: backendScheme(request, backend),
    basePath: backend.basePath,
  };
}

/** Options for {@linkcode RequestRules}. */
export interface RequestRulesOptions {
  /** Whose forwarding fields are believed. */
  trusts: AddressMatcher | undefined;
  /**
   * Whether a text is an address. What a trusted proxy says of its client ends
   * where it says something else. Not asked without {@linkcode trusts}.
   *
   * @default {every text is}
   */
  isAddress?: (text: string) => boolean;
  /**
   * Name for `Via`, or none for no `Via`. A function is called at the first
   * request.
   */
  pseudonym: string | (() => string) | undefined;
}

/** The request's rules, with what is the same for all requests settled once. */
export class RequestRules {
  readonly #trusts: AddressMatcher | undefined;
  readonly #isAddress: (text: string) => boolean;
  #via: string | undefined;
  #pseudonym: string | undefined;
  #draw: (() => string) | undefined;

  /** Settles the options once. */
  constructor(options: RequestRulesOptions) {
    this.#trusts = options.trusts;
    this.#isAddress = options.isAddress ?? (() => true);
    const { pseudonym } = options;
    if (typeof pseudonym === "function") this.#draw = pseudonym;
    else this.#name(pseudonym);
  }

  /**
   * Whether a request has been here before. The pseudonym is random for each
   * process, so no other proxy is mistaken for this one (RFC 9110 §7.6.3).
   */
  loops(headers: Read): boolean {
    if (this.#draw !== undefined) {
      this.#name(this.#draw());
      this.#draw = undefined;
    }
    if (this.#pseudonym === undefined) return false;
    const via = headers.get("via");
    return via !== null && via.includes(this.#pseudonym);
  }

  #name(pseudonym: string | undefined): void {
    this.#pseudonym = pseudonym;
    this.#via = pseudonym && `1.1 ${pseudonym}`;
  }

  /** The fields to send on. One pass; the result is `fetch`'s own input form. */
  fields(headers: Read, facts: RequestFacts): Fields {
    const { peer, host, scheme } = facts;
    const trusted = this.#trustsPeer(peer);
    const fields: Fields = [["host", facts.backendHost]];
    let forwardedFor = peer;
    let forwardedHost = host;
    let forwardedProto = scheme;
    let via = this.#via;
    const removed = named(headers.get("connection"));
    headers.forEach((value, name) => {
      if (
        isRequestDropped(name) ||
        (removed !== undefined && removed.has(name))
      ) return;
      // "x" and "f" begin all forwarding names: most fields are done here.
      const first = name.charCodeAt(0);
      if ((first === 120 || first === 102) && isForwarding(name)) {
        if (!trusted || isAlias(name)) return;
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
      } else if (isMappedForBackend(name, facts.method)) {
        const asked = this.#asked(headers, facts);
        fields.push([name, forBackend(name, value, asked)]);
      } else {
        fields.push([name, value]);
      }
    });
    if (forwardedFor !== undefined) {
      fields.push(["x-forwarded-for", forwardedFor]);
    }
    if (forwardedHost !== undefined) {
      fields.push(["x-forwarded-host", forwardedHost]);
    }
    fields.push(["x-forwarded-proto", forwardedProto]);
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
    const { peer, host, scheme } = facts;
    if (
      named(headers.get("connection")) !== undefined || this.#trustsPeer(peer)
    ) return undefined;
    const copy = new Headers(headers);
    for (const name of headers.keys()) {
      // Set below, which is the cheaper of the two.
      if (name === "host") continue;
      if (isRequestDropped(name)) {
        copy.delete(name);
        continue;
      }
      const first = name.charCodeAt(0);
      if ((first === 120 || first === 102) && isForwarding(name)) {
        copy.delete(name);
      } else if (
        (name === "via" && this.#via !== undefined) ||
        isMappedForBackend(name, facts.method)
      ) {
        return undefined;
      }
    }
    copy.set("host", facts.backendHost);
    if (peer !== undefined) copy.set("x-forwarded-for", peer);
    if (host !== undefined) copy.set("x-forwarded-host", host);
    copy.set("x-forwarded-proto", scheme);
    if (this.#via !== undefined) copy.set("via", this.#via);
    return copy;
  }

  /** What the answer's rules need to know; `added` are fields of our own. */
  answerFacts(
    request: RequestParts,
    backend: BackendParts,
    hostHeader: HostHeader,
    added: Fields | undefined,
  ): ResponseFacts {
    return {
      ownOrigin: backend.ownOrigin,
      backendScheme: backendScheme(request, backend),
      backendHost: backendHost(request, backend, hostHeader),
      basePath: backend.basePath,
      client: this.clientOrigin(request.fields, request),
      added,
    };
  }

  /**
   * Scheme and authority under which the client came: the connection's scheme
   * and the `Host` that came, or what a trusted proxy says of them, if that is a
   * scheme and a host. Of a list the first is the one that the client used.
   */
  clientOrigin(
    headers: Read,
    { peer, host, scheme }: Pick<RequestParts, "peer" | "host" | "scheme">,
  ): Origin {
    if (!this.#trustsPeer(peer)) return { scheme, host };
    const said = firstOf(headers.get("x-forwarded-host"));
    return {
      scheme: this.clientScheme(headers, peer, scheme),
      host: said !== "" && refuseHost(said) === undefined ? said : host,
    };
  }

  /** The scheme alone, see {@linkcode clientOrigin}. */
  clientScheme(
    headers: Read,
    peer: string | undefined,
    scheme: string,
  ): string {
    if (!this.#trustsPeer(peer)) return scheme;
    const said = firstOf(headers.get("x-forwarded-proto"));
    return said === "http" || said === "https" ? said : scheme;
  }

  /**
   * Address of the client: the peer's, or what the nearest trusted proxies say
   * of theirs. Read from the right, as far as trust goes: whatever stands left
   * of the first untrusted address, or of what is no address (`unknown`), may
   * have been made up.
   */
  clientAddress(headers: Read, peer: string | undefined): string {
    if (peer === undefined) return "-";
    if (this.#trusts === undefined || !this.#trusts(peer)) return peer;
    const list = headers.get("x-forwarded-for");
    if (list === null) return peer;
    let client = peer;
    for (let end = list.length; end >= 0;) {
      const comma = end === 0 ? -1 : list.lastIndexOf(",", end - 1);
      const address = addressIn(list, comma + 1, end);
      if (address === undefined || !this.#isAddress(address)) break;
      client = address;
      if (!this.#trusts(address)) break;
      end = comma;
    }
    return client;
  }

  #trustsPeer(peer: string | undefined): boolean {
    return this.#trusts !== undefined && peer !== undefined &&
      this.#trusts(peer);
  }

  #asked(headers: Read, facts: RequestFacts): Asked {
    return {
      backendScheme: facts.backendScheme,
      backendHost: facts.backendHost,
      basePath: facts.basePath,
      client: this.clientOrigin(headers, facts),
      connection: facts,
    };
  }
}

/** The first element of a list; empty where there is none. */
function firstOf(list: string | null): string {
  if (list === null) return "";
  const comma = list.indexOf(",");
  return (comma < 0 ? list : list.slice(0, comma)).trim();
}

/** Most characters of an address with brackets, zone and port. */
const LONGEST_NODE = MAX_ADDRESS_LENGTH + 32;

/** The address that stands between two places of a list, if one can. */
function addressIn(
  list: string,
  start: number,
  end: number,
): string | undefined {
  const text = list.slice(start, end).trim();
  return text.length > LONGEST_NODE ? undefined : plainAddress(text);
}

/** An address as `Forwarded` writes it (RFC 7239 §6): v6 in quoted brackets. */
function forwardedNode(address: string): string {
  return address.includes(":") ? `"[${address}]"` : address;
}

/** What {@linkcode responseFields} needs to know of an answer. */
export interface ResponseFacts extends Sides {
  /** Fields to add. */
  readonly added: Fields | undefined;
}

/** The fields to answer with. */
export function responseFields(headers: Read, facts: ResponseFacts): Fields {
  const { added, basePath } = facts;
  const removed = named(headers.get("connection"));
  const fields: Fields = [];
  let coded = false;
  headers.forEach((value, name) => {
    if (
      isResponseDropped(name) || (removed !== undefined && removed.has(name))
    ) {
      if (name === "transfer-encoding") coded = true;
    } else if (added !== undefined && isReplaced(name, added)) {
      // The one that is added stands in its place.
    } else if (isMapped(name, basePath)) {
      fields.push([name, forClient(name, value, facts)]);
    } else {
      fields.push([name, value]);
    }
  });
  if (coded) {
    // RFC 9112 §6.3: beside a transfer coding a length means nothing, and Deno's
    // `fetch` shows both. Passed on, it would cut or stretch what was read.
    const at = fields.findIndex(([name]) => name === "content-length");
    if (at >= 0) fields.splice(at, 1);
  }
  if (added !== undefined) fields.push(...added);
  return fields;
}

/**
 * Whether a backend's field gives way to one that is added. A client must find
 * one `X-Request-Id`, and the one that the log has; cookies and timings are
 * lists, to which one is added.
 */
function isReplaced(name: string, added: Fields): boolean {
  return name !== "set-cookie" && name !== "server-timing" &&
    added.some(([ours]) => ours === name);
}
