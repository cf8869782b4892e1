/**
 * URLs in header fields, as the side that gets them knows them.
 *
 * A backend names itself by its own origin or by the `Host` that it was sent,
 * and puts its base path in front; a client knows the proxy by another origin,
 * and no base path. `Location`, `Content-Location` and the `Path` of a
 * `Set-Cookie` are mapped on the way to the client, WebDAV's `Destination` and
 * `If` on the way to the backend. What names a third place is left as it was
 * said, and nothing is mapped into a URL that names another host.
 *
 * `Refresh`, `Link`, the `Domain` of a cookie and bodies are not looked at.
 *
 * @module
 */

import { type Origin, originKey, splitUrl } from "./origins.ts";

/** How the two sides name one place. */
export interface Sides {
  /** The backend as it is configured: scheme and authority. */
  readonly ownOrigin: string;
  /** Scheme under which the backend was asked. */
  readonly backendScheme: string;
  /** `Host` that the backend was sent. */
  readonly backendHost: string;
  /** Path in front of every target there. */
  readonly basePath: string;
  /** The proxy, as the client knows it. */
  readonly client: Origin;
}

/** Fields of an answer that {@linkcode forClient} may have to map. */
export function isMapped(name: string, basePath: string): boolean {
  return name === "location" || name === "content-location" ||
    (name === "set-cookie" && basePath !== "");
}

/** The value of such a field, for the client. */
export function forClient(name: string, value: string, sides: Sides): string {
  return name === "set-cookie"
    ? cookieForClient(value, sides.basePath)
    : locationForClient(value, sides);
}

/**
 * A `Location` at the backend's own origin or below its base path, made to point
 * back through the proxy: otherwise a redirect would lead the client round it,
 * or to an address that only the proxy can reach.
 */
export function locationForClient(location: string, sides: Sides): string {
  const { basePath, client } = sides;
  // One that names a host and no scheme has that of the page that it is on.
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
  // A place outside of the base path cannot be reached through here.
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

/** Whether an origin is what the backend knows itself by. */
function isBackendOrigin(origin: string, sides: Sides): boolean {
  return origin === splitUrl(sides.ownOrigin)?.origin ||
    // Most servers make a URL of the `Host` that they were sent.
    origin === originKey(sides.backendScheme, sides.backendHost);
}

/** What is left of a path without the base path; none if it is not below it. */
function belowBase(path: string, basePath: string): string | undefined {
  if (basePath === "") return path;
  if (!path.startsWith(basePath)) return undefined;
  const rest = path.slice(basePath.length);
  return rest === "" || /^[/?#]/.test(rest) ? rest : undefined;
}

/**
 * Whether a browser would take a path for a host and a path: `//evil.test`. It
 * reads `\` as `/`, and drops tabs and line ends wherever they are.
 */
function namesHost(path: string): boolean {
  const second = path.charCodeAt(1);
  return second === 47 || second === 92 || second <= 32 || second === 127;
}

/**
 * A `Set-Cookie` whose `Path` is the base path or below it, with the path that
 * the client knows: it would never send the cookie back otherwise. All else of
 * it is left alone, byte for byte.
 */
export function cookieForClient(cookie: string, basePath: string): string {
  // RFC 6265 §5.2: the first part is the cookie itself, whatever is in it.
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

/** One attribute with the `;` in front of it, and perhaps with quotes. */
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

/** The same, towards the backend. */
export interface Asked extends Omit<Sides, "ownOrigin"> {
  /** Scheme and `Host` as they came here, whatever a trusted proxy says. */
  readonly connection: Origin;
}

/**
 * Whether a field of a request may have to be mapped. `Destination` is WebDAV's
 * with these two methods alone, and could be anything with another.
 */
export function isMappedForBackend(name: string, method: string): boolean {
  return name === "if" ||
    (name === "destination" && (method === "COPY" || method === "MOVE"));
}

/**
 * The value of such a field, for the backend. The URL is made of the scheme and
 * the `Host` that the backend is asked with, since servers compare it with those:
 * nginx and Apache refuse a `Destination` of another server.
 */
export function forBackend(name: string, value: string, asked: Asked): string {
  return name === "if"
    ? conditionForBackend(value, asked)
    : referenceForBackend(value, asked);
}

/** A URL or a path, as the client names it (RFC 4918 §8.3, `Simple-ref`). */
function referenceForBackend(reference: string, asked: Asked): string {
  const { backendScheme, backendHost, basePath } = asked;
  const url = splitUrl(reference);
  if (url === undefined) {
    return reference.startsWith("/") && !reference.startsWith("//")
      ? basePath + reference
      : reference;
  }
  const own = isClientOrigin(url.origin, asked.client) ||
    // A proxy in front may have mapped it to what it asks here.
    isClientOrigin(url.origin, asked.connection);
  return own
    ? `${backendScheme}://${backendHost}${basePath}${url.rest}`
    : reference;
}

/**
 * An `If` field (RFC 4918 §10.4). What stands in `<>` in front of a list names a
 * resource; inside of a list it is a state token, and in `[]` an entity tag, in
 * whose quotes any of these characters may stand.
 */
function conditionForBackend(condition: string, asked: Asked): string {
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
          referenceForBackend(condition.slice(at + 1, end), asked);
        taken = end;
      }
      at = end;
    }
  }
  return mapped + condition.slice(taken);
}
