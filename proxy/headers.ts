/**
 * Rewriting header fields: which are dropped, which are added, which are
 * trusted, and which are mapped.
 *
 * One pass over the fields, since this runs for every request. `fields.ts` has
 * the names, `mapping.ts` the URLs.
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
  forBackend,
  forClient,
  isMapped,
  isMappedForBackend,
  type RequestSides,
  type Sides,
} from "./mapping.ts";
import type { Origin } from "./origins.ts";

export { type Fields, isResponseDropped, Lines, type Read } from "./fields.ts";
export { RESPONSE_DROPPED } from "./fields.ts";

/** What the rules need from a request. */
export interface RequestParts {
  /** Its method. */
  readonly method: string;
  /** Its header fields. */
  readonly fields: Read;
  /** The peer's address, if there is one. */
  readonly peer: string | undefined;
  /** The `Host` that the client sent, if it sent one. */
  readonly host: string | undefined;
  /** The `Host` set by a hook, if any. */
  readonly hookHost?: string | undefined;
  /** Scheme of the client's connection: `http` or `https`. */
  readonly scheme: string;
}

/** What the rules need from a backend. */
export interface BackendParts {
  /** Scheme and authority that it is reached at. */
  readonly origin: string;
  /** Scheme and authority that it uses for itself. */
  readonly ownOrigin: string;
  /** The authority alone. */
  readonly authority: string;
  /** Path in front of every target there. */
  readonly basePath: string;
  /** Its function, if it is one; it is called with the client's scheme. */
  readonly answer?: unknown;
}

/** Which `Host` a backend is sent: the client's, or its own. */
export type HostHeader = "auto" | "preserve" | "backend";

/** Whether a backend is reached over TLS. */
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
  // Without a client's `Host` (HTTP/1.0), the backend gets its own name.
  return preserve && host !== undefined ? host : backend.authority;
}

function backendScheme(
  { scheme }: RequestParts,
  backend: BackendParts,
): string {
  if (backend.answer !== undefined) return scheme;
  return isSecure(backend) ? "https" : "http";
}

/** What {@linkcode RequestRules.fields} needs from a request. */
export interface RequestFacts {
  /** Its method. */
  method: string;
  /** The peer's address, if there is one. */
  peer: string | undefined;
  /** The `Host` that the client sent, if it sent one. */
  host: string | undefined;
  /** `http` or `https`. */
  scheme: string;
  /** The `Host` for the backend. */
  backendHost: string;
  /** Scheme of the request to the backend. */
  backendScheme: string;
  /** Path in front of every target there. */
  basePath: string;
}

/** The facts for a request to a backend. */
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
  /** Matches peers whose forwarding fields are trusted. */
  trusts: AddressMatcher | undefined;
  /**
   * Whether a text is an address. A trusted proxy's list is not followed past
   * anything else. Not called without {@linkcode trusts}.
   *
   * @default {every text is}
   */
  isAddress?: (text: string) => boolean;
  /**
   * Name in `Via`; `undefined`: no `Via`. A function is called at the first
   * request.
   */
  pseudonym: string | (() => string) | undefined;
}

/** The rules for requests, with everything precomputed that is constant. */
export class RequestRules {
  readonly #trusts: AddressMatcher | undefined;
  readonly #isAddress: (text: string) => boolean;
  #via: string | undefined;
  #pseudonym: string | undefined;
  #draw: (() => string) | undefined;

  /** Precomputes what is constant. */
  constructor(options: RequestRulesOptions) {
    this.#trusts = options.trusts;
    this.#isAddress = options.isAddress ?? (() => true);
    const { pseudonym } = options;
    if (typeof pseudonym === "function") this.#draw = pseudonym;
    else this.#name(pseudonym);
  }

  /**
   * Whether a request has passed through this process before. The pseudonym is
   * random per process, so it never matches another proxy (RFC 9110 §7.6.3).
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

  /**
   * The fields for the backend, in one pass, in the form that `fetch` takes.
   */
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
      // All forwarding names begin with "x" or "f"; most fields do not.
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
        const context = this.#mapping(headers, facts);
        fields.push([name, forBackend(name, value, context)]);
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
   * The same as {@linkcode fields}, as `Headers`, for a request without
   * anything unusual; otherwise `undefined`. For a runtime that copies and
   * edits `Headers` faster than it builds them from pairs: on Bun 1.3 µs
   * instead of 3.4 (`bun run bench/hot_bench.ts`), of about 45 for a small
   * request.
   */
  copied(headers: Headers, facts: RequestFacts): Headers | undefined {
    const { peer, host, scheme } = facts;
    if (
      named(headers.get("connection")) !== undefined || this.#trustsPeer(peer)
    ) return undefined;
    const copy = new Headers(headers);
    for (const name of headers.keys()) {
      // Overwritten below, which is cheaper than deleting it.
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

  /** The facts for the response; `added` are fields of our own. */
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
   * Scheme and authority as the client used them: those of the connection and
   * of `Host`, or what a trusted proxy reports if that is valid. The first
   * element of a list is the client's.
   */
  clientOrigin(
    headers: Read,
    { peer, host, scheme }: Pick<RequestParts, "peer" | "host" | "scheme">,
  ): Origin {
    if (!this.#trustsPeer(peer)) return { scheme, host };
    const reported = firstOf(headers.get("x-forwarded-host"));
    return {
      scheme: this.clientScheme(headers, peer, scheme),
      host: reported !== "" && refuseHost(reported) === undefined
        ? reported
        : host,
    };
  }

  /** The scheme alone, see {@linkcode clientOrigin}. */
  clientScheme(
    headers: Read,
    peer: string | undefined,
    scheme: string,
  ): string {
    if (!this.#trustsPeer(peer)) return scheme;
    const reported = firstOf(headers.get("x-forwarded-proto"));
    return reported === "http" || reported === "https" ? reported : scheme;
  }

  /**
   * The client's address: the peer's, or what the nearest trusted proxies
   * report. Read from the right: everything left of the first untrusted
   * address, or of a text that is not an address (`unknown`), may be made up.
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

  #mapping(headers: Read, facts: RequestFacts): RequestSides {
    return {
      backendScheme: facts.backendScheme,
      backendHost: facts.backendHost,
      basePath: facts.basePath,
      client: this.clientOrigin(headers, facts),
      connection: facts,
    };
  }
}

/** The first element of a list; empty if there is none. */
function firstOf(list: string | null): string {
  if (list === null) return "";
  const comma = list.indexOf(",");
  return (comma < 0 ? list : list.slice(0, comma)).trim();
}

/** Maximum length of an address with brackets, zone and port. */
const MAX_NODE_LENGTH = MAX_ADDRESS_LENGTH + 32;

/** The address between two positions of a list, if it may be one. */
function addressIn(
  list: string,
  start: number,
  end: number,
): string | undefined {
  const text = list.slice(start, end).trim();
  return text.length > MAX_NODE_LENGTH ? undefined : plainAddress(text);
}

/** An address for `Forwarded` (RFC 7239 §6): IPv6 in quoted brackets. */
function forwardedNode(address: string): string {
  return address.includes(":") ? `"[${address}]"` : address;
}

/** What {@linkcode responseFields} needs for a response. */
export interface ResponseFacts extends Sides {
  /** Fields to add. */
  readonly added: Fields | undefined;
}

/** The fields for the client. */
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
      // Replaced by the added field.
    } else if (name === "content-length") {
      // A list of lengths has equal ones (RFC 9110 §8.6), or the response was
      // refused. In a response to HEAD, both servers say 0 instead of a list.
      const comma = value.indexOf(",");
      fields.push([name, comma < 0 ? value : value.slice(0, comma).trim()]);
    } else if (isMapped(name, basePath)) {
      fields.push([name, forClient(name, value, facts)]);
    } else {
      fields.push([name, value]);
    }
  });
  if (coded) {
    // RFC 9112 §6.3: next to a transfer coding, a length has no meaning. Deno's
    // `fetch` exposes both. Passed on, it would truncate or extend the body.
    const at = fields.findIndex(([name]) => name === "content-length");
    if (at >= 0) fields.splice(at, 1);
  }
  if (added !== undefined) fields.push(...added);
  return fields;
}

/**
 * Whether an added field replaces a backend's. The client must see exactly one
 * `X-Request-Id`, the logged one. Cookies and timings are lists, which are
 * extended.
 */
function isReplaced(name: string, added: Fields): boolean {
  return name !== "set-cookie" && name !== "server-timing" &&
    added.some(([ours]) => ours === name);
}
