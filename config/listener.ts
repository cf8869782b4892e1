/**
 * Whether two hosts mean the same listener, as far as this can be known without
 * looking up a name.
 *
 * @module
 */

import { isLoopback, isWildcard, parseAddress } from "./address.ts";

/** Where the proxy listens. */
export interface Listener {
  /** Its address or name. */
  readonly host: string;
  /** Its port; 0 if not known yet. */
  readonly port: number;
  /** Whether it is the admin port. */
  readonly isAdmin?: boolean;
}

/** Whether a backend's URL is this listener. */
export function leadsTo(url: string, listener: Listener): boolean {
  if (!/^https?:/.test(url)) return false; // a socket, or a function
  const { protocol, hostname, port } = new URL(url);
  const number = Number(port || (protocol === "https:" ? 443 : 80));
  if (number !== listener.port) return false;
  const here = scope(listener.host);
  const there = scope(hostname);
  if (here.host === there.host) return true;
  // A connection to 0.0.0.0 arrives on loopback, as one to `localhost` does.
  if (there.kind === "other") return false;
  return here.kind === "wildcard" || oneLoopback(here, there) ||
    here.kind === "loopback" && there.kind === "wildcard";
}

/** Whether listening on both hosts with one port would fail. */
export function collide(one: string, other: string): boolean {
  const [a, b] = [scope(one), scope(other)];
  return a.host === b.host || a.kind === "wildcard" || b.kind === "wildcard" ||
    oneLoopback(a, b);
}

/** Whether only this machine can connect to a listener on the host. */
export function isLocal(host: string): boolean {
  return scope(host).kind === "loopback";
}

/**
 * Whether a `Host` value is an address, `localhost` or one of these names. This
 * stops DNS rebinding: a page at `evil.example`, whose name resolves to this
 * machine, sends that name; an address cannot be rebound.
 */
export function isNamed(host: string, names: readonly string[]): boolean {
  const [, bare = ""] = /^(.*?)(?::\d{1,5})?$/.exec(host) ?? [];
  const name = bare.toLowerCase();
  const bracketed = name.startsWith("[") && name.endsWith("]");
  if (parseAddress(bracketed ? name.slice(1, -1) : name) !== undefined) {
    return bracketed === name.includes(":");
  }
  return name === "localhost" || names.includes(name);
}

interface Scope {
  readonly host: string;
  readonly kind: "loopback" | "wildcard" | "other";
  readonly isName: boolean;
}

// Two loopback addresses are two listeners, and both may be intended;
// `localhost` may be any of them.
function oneLoopback(a: Scope, b: Scope): boolean {
  return a.kind === "loopback" && b.kind === "loopback" &&
    (a.isName || b.isName);
}

function scope(text: string): Scope {
  const host = text.replace(/^\[|\]$|\.$/g, "");
  const address = parseAddress(host);
  if (address === undefined) {
    const local = host === "localhost" || host.endsWith(".localhost");
    return { host, kind: local ? "loopback" : "other", isName: true };
  }
  const kind = isLoopback(address)
    ? "loopback"
    : isWildcard(address)
    ? "wildcard"
    : "other";
  // As a number: `::1` and `0:0::1` are the same host.
  return { host: String(address), kind, isName: false };
}
