/**
 * Mapping URLs in header fields between the two sides.
 *
 * A backend uses its own origin or the `Host` that it was sent, with its base
 * path in front. A client knows the proxy by another origin, without the base
 * path. `Location`, `Content-Location` and the `Path` of a `Set-Cookie` are
 * mapped for the client; WebDAV's `Destination` and `If` are mapped for the
 * backend. URLs of other servers stay unchanged, and no mapping leads to
 * another host.
 *
 * `Refresh`, `Link`, the `Domain` of a cookie and bodies are not mapped.
 *
 * @module
 */

import { type Origin, originKey, splitUrl } from "./origins.ts";

/** The names that both sides use for the same place. */
export interface Sides {
  /** The backend's configured origin: scheme and authority. */
  readonly ownOrigin: string;
  /** Scheme of the request to the backend. */
  readonly backendScheme: string;
  /** `Host` that the backend was sent. */
  readonly backendHost: string;
  /** Path in front of every target there. */
  readonly basePath: string;
  /** The proxy's origin as the client knows it. */
  readonly client: Origin;
}

/** Whether {@linkcode forClient} may have to map a response field. */
export function isMapped(name: string, basePath: string): boolean {
  return name === "location" || name === "content-location" ||
    (name === "set-cookie" && basePath !== "");
}

/** The value of such a field for the client. */
export function forClient(name: string, value: string, sides: Sides): string {
  return name === "set-cookie"
    ? cookieForClient(value, sides.basePath)
    : locationForClient(value, sides);
}

/**
 * Maps a `Location` at the backend's own origin, or below its base path, to the
 * proxy. Otherwise a redirect would lead the client around the proxy, or to an
 * address that only the proxy can reach.
 */
export function locationForClient(location: string, sides: Sides): string {
  const { basePath, client } = sides;
  // A URL without a scheme has that of the page.
  const url = splitUrl(
    location.startsWith("//") ? `${sides.backendScheme}:${location}` : location,
  );
  let rest: string | undefined = location;
  if (url !== undefined) {
    const known = isClientOrigin(url.origin, client);
    if (known ? basePath === "" : !isBackendOrigin(url.origin, sides)) {
      return location;
    }
    rest = url.rest;
  } else if (basePath === "" || !location.startsWith("/")) {
    return location;
  }
  // A place outside of the base path is not reachable through the proxy.
  rest = belowBase(rest, basePath);
  if (rest === undefined) return location;
  const named = client.host !== undefined;
  if (url !== undefined && named) {
    return `${client.scheme}://${client.host}${rest}`;
  }
  if (!rest.startsWith("/")) rest = `/${rest}`;
  if (!namesHost(rest)) return rest;
  return named ? `${client.scheme}://${client.host}${rest}` : location;
}

/** Whether an origin is the proxy's, as the client knows it. */
function isClientOrigin(origin: string, { scheme, host }: Origin): boolean {
  return host !== undefined && origin === originKey(scheme, host);
}

/** Whether an origin is one that the backend uses for itself. */
function isBackendOrigin(origin: string, sides: Sides): boolean {
  return origin === splitUrl(sides.ownOrigin)?.origin ||
    // Most servers build URLs from the `Host` that they were sent.
    origin === originKey(sides.backendScheme, sides.backendHost);
}

/** A path without the base path; `undefined` if it is not below it. */
function belowBase(path: string, basePath: string): string | undefined {
  if (basePath === "") return path;
  if (!path.startsWith(basePath)) return undefined;
  const rest = path.slice(basePath.length);
  return rest === "" || /^[/?#]/.test(rest) ? rest : undefined;
}

/**
 * Whether a browser would read a path as a host and a path: `//evil.test`. It
 * reads `\` as `/`, and drops tabs and line breaks.
 */
function namesHost(path: string): boolean {
  const second = path.charCodeAt(1);
  return second === 47 || second === 92 || second <= 32 || second === 127;
}

/**
 * Maps the `Path` of a `Set-Cookie` if it is the base path or below it:
 * otherwise the client would never send the cookie back. The rest stays
 * unchanged, byte for byte.
 */
export function cookieForClient(cookie: string, basePath: string): string {
  // RFC 6265 §5.2: the first part is the cookie itself, whatever it contains.
  let at = cookie.indexOf(";");
  if (at < 0) return cookie;
  let mapped = cookie.slice(0, at);
  while (at < cookie.length) {
    let end = cookie.indexOf(";", at + 1);
    if (end < 0) end = cookie.length;
    mapped += pathMapped(cookie.slice(at, end), basePath);
    at = end;
  }
  return mapped;
}

/** One attribute with its leading `;` and optional quotes. */
const PATH_ATTRIBUTE = /^(;[ \t]*path[ \t]*=[ \t]*"?)(\/[^"]*)/i;

function pathMapped(attribute: string, basePath: string): string {
  const match = PATH_ATTRIBUTE.exec(attribute);
  if (match === null) return attribute;
  const [all, before, value] = match as unknown as [string, string, string];
  const path = value.trimEnd();
  if (path !== basePath && !path.startsWith(`${basePath}/`)) return attribute;
  return before + (path.slice(basePath.length) || "/") +
    value.slice(path.length) + attribute.slice(all.length);
}

/** The same for the direction to the backend. */
export interface RequestSides extends Omit<Sides, "ownOrigin"> {
  /** Scheme and `Host` as received here, whatever a trusted proxy reports. */
  readonly connection: Origin;
}

/**
 * Whether a request field may have to be mapped. `Destination` is WebDAV's only
 * with these two methods; with another it may mean anything.
 */
export function isMappedForBackend(name: string, method: string): boolean {
  return name === "if" ||
    (name === "destination" && (method === "COPY" || method === "MOVE"));
}

/**
 * The value of such a field for the backend. The URL gets the scheme and `Host`
 * of the request to the backend, since servers compare them: nginx and Apache
 * refuse a `Destination` on another server.
 */
export function forBackend(
  name: string,
  value: string,
  sides: RequestSides,
): string {
  return name === "if"
    ? conditionForBackend(value, sides)
    : referenceForBackend(value, sides);
}

/** Maps a URL or a path (RFC 4918 §8.3, `Simple-ref`). */
function referenceForBackend(reference: string, sides: RequestSides): string {
  const { backendScheme, backendHost, basePath } = sides;
  const url = splitUrl(reference);
  if (url === undefined) {
    return reference.startsWith("/") && !reference.startsWith("//")
      ? basePath + reference
      : reference;
  }
  const own = isClientOrigin(url.origin, sides.client) ||
    // A proxy in front may have mapped it to the origin that it uses here.
    isClientOrigin(url.origin, sides.connection);
  return own
    ? `${backendScheme}://${backendHost}${basePath}${url.rest}`
    : reference;
}

/**
 * Maps an `If` field (RFC 4918 §10.4). `<>` in front of a list contains a
 * resource; inside of a list it contains a state token, and `[]` an entity tag,
 * whose quoted text may contain any of these characters.
 */
function conditionForBackend(condition: string, sides: RequestSides): string {
  let mapped = "";
  let taken = 0;
  let inList = false;
  for (let at = 0; at < condition.length; at++) {
    const char = condition[at];
    if (char === "(") inList = true;
    else if (char === ")") inList = false;
    else if (char === '"') {
      at = condition.indexOf('"', at + 1);
      if (at < 0) break;
    } else if (char === "<") {
      const end = condition.indexOf(">", at);
      if (end < 0) break;
      if (!inList) {
        mapped += condition.slice(taken, at + 1) +
          referenceForBackend(condition.slice(at + 1, end), sides);
        taken = end;
      }
      at = end;
    }
  }
  return mapped + condition.slice(taken);
}
