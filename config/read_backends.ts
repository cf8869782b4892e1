/**
 * Reads a list of backends and checks that each can be used: that it is not the
 * proxy itself, and that its requests go where its URL says.
 *
 * @module
 */

import { MAX_LISTED, parseBackends } from "./backends.ts";
import { masked, oneLine, quote, withoutQuery } from "./fault.ts";
import { foreignFaults } from "./foreign.ts";
import { leadsTo, type Listener } from "./listener.ts";
import type { Env } from "./no_proxy.ts";
import type { BackendOptions, ServeOptions } from "./options.ts";
import { checkedOption, defaultOf } from "./option.ts";

/** The backends of a text, or what is wrong with it. */
export interface ReadBackends {
  /** The backends; use them only if there are no faults. */
  readonly backends: readonly BackendOptions[];
  /** What is wrong, one line each, without secrets. */
  readonly faults: readonly string[];
}

/** Options for {@linkcode readBackends}. */
export interface ReadBackendsOptions {
  /**
   * Whether the text is from a file. It may be the wrong file: then only lines
   * that look like a backend may be quoted.
   *
   * @default {false}
   */
  readonly isFile?: boolean;
  /** Number of workers, whose shared table limits the number of backends. */
  readonly workers?: number | "auto" | undefined;
}

/** Faults shown per list; in a wrong file, every line is a fault. */
const MAX_FAULTS = 10;

/**
 * Reads a list of backends and checks that none is a listener of this proxy,
 * and that no variable diverts its requests. Used for the list at start and for
 * each new version of `BACKENDS_FILE`.
 *
 * @param label Start of each fault, such as `BACKENDS`.
 * @param own Where this proxy listens.
 */
export function readBackends(
  label: string,
  text: string,
  own: readonly Listener[],
  env: Env,
  { isFile = false, workers = 1 }: ReadBackendsOptions = {},
): ReadBackends {
  const list = parseBackends(text);
  const urls = list.backends.map(({ url }) => url);
  const hasLines = text.includes("\n");
  const faults = list.faults.slice(0, MAX_FAULTS).map((fault) => {
    const { line, entry, wanted } = fault;
    if (entry === "") return `${label}: ${wanted}`;
    const where = hasLines ? `line ${line}, ` : "";
    if (!isFile) {
      return `${label}: ${where}${quote(withoutQuery(entry))} ${wanted}`;
    }
    const piece = pieceOf(entry);
    return piece === undefined
      ? `${label}: line ${line} is not a backend: write http://127.0.0.1:3000`
      : `${label}: ${where}${quote(piece)} ${wanted}`;
  });
  const more = list.faults.length - MAX_FAULTS;
  if (more > 0) faults.push(`${label}: ${more} more entries are wrong`);
  for (const url of urls) {
    const fault = ownFault(url, own);
    if (fault !== undefined) {
      faults.push(`${label}: ${quote(url)} ${fault}: write another port`);
    }
  }
  if (workers !== 1 && urls.length > MAX_LISTED) {
    faults.push(
      `${label}: has ${urls.length} backends: with WORKERS write at most ` +
        MAX_LISTED,
    );
  }
  faults.push(...foreignFaults(urls, env));
  return { backends: list.backends, faults };
}

/** The listeners of a server with these options. */
export function listenersOf(
  { port, host, admin, redirectPort }: Pick<
    ServeOptions,
    "port" | "host" | "admin" | "redirectPort"
  >,
): Listener[] {
  const listeners: Listener[] = [{
    host: host ?? defaultOf("HOST")!,
    port: port ?? defaultOf("PORT")!,
  }];
  if (admin) {
    listeners.push({
      host: adminHosts(admin.host)[0]!,
      port: admin.port,
      isAdmin: true,
    });
  }
  if (typeof redirectPort === "number") {
    listeners.push({ host: listeners[0]!.host, port: redirectPort });
  }
  return listeners;
}

/**
 * The host that the admin port listens on, then the names that it answers to.
 */
export function adminHosts(
  host: string | readonly string[] | undefined,
): readonly string[] {
  return checkedOption(
    "ADMIN_HOST",
    typeof host === "string" ? [host] : host,
  );
}

/** The fault that a backend is one of these listeners, if it is. */
export function ownFault(
  url: string,
  listeners: readonly Listener[],
): string | undefined {
  // Port 0 is not known yet, and no backend has port 0.
  const own = listeners.find((listener) => leadsTo(url, listener));
  if (own === undefined) return undefined;
  return own.isAdmin ? "is this proxy's admin port" : "is this proxy";
}

/** The part of a line that may be quoted; none if it is not like a backend. */
function pieceOf(entry: string): string | undefined {
  const [address = ""] = entry.split(/\s/, 1);
  if (/^(?:[a-z][a-z\d+.-]*:\/\/|unix:)/i.test(address)) {
    return oneLine(withoutQuery(masked(address)));
  }
  return address.length <= 40 && /^[\w-]*[.:][\w.:-]*$/.test(address)
    ? address
    : undefined;
}
