/**
 * A list of backends, and whether each can be one: not the proxy itself, and not
 * somewhere else than it says.
 *
 * @module
 */

import { MOST_LISTED, parseBackends } from "./backends.ts";
import { masked, oneLine, quote, withoutQuery } from "./fault.ts";
import { foreignFaults } from "./foreign.ts";
import { leadsTo, type Listener } from "./listener.ts";
import type { Env } from "./no_proxy.ts";
import type { BackendOptions, ServeOptions } from "./options.ts";
import { checkedOption, defaultOf } from "./option.ts";

/** Which backends a text names, or what is wrong with it. */
export interface ReadBackends {
  /** The backends; to be used only when there are no faults. */
  readonly backends: readonly BackendOptions[];
  /** What is wrong, one line each, without anything secret. */
  readonly faults: readonly string[];
}

/** Options for {@linkcode readBackends}. */
export interface ReadBackendsOptions {
  /**
   * Whether the text is a file's. It may be the wrong file, and then no line of
   * it is ours to repeat unless it looks like a backend.
   *
   * @default {false}
   */
  readonly isFile?: boolean;
  /** Workers, whose common table has a place for so many backends only. */
  readonly workers?: number | "auto" | undefined;
}

/** Faults of one list that are told; a file may be wrong in each line. */
const MOST_FAULTS = 10;

/**
 * Reads a list of backends and checks that each can be reached: that it is none
 * of this proxy's own listeners, and that no variable diverts its requests. For
 * the list at start, and for each new one in `BACKENDS_FILE`.
 *
 * @param label What a fault begins with, such as `BACKENDS`.
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
  const faults = list.faults.slice(0, MOST_FAULTS).map((fault) => {
    const { line, entry, wanted } = fault;
    if (entry === "") return `${label}: ${wanted}`;
    const where = hasLines ? `line ${line}, ` : "";
    if (!isFile) return `${label}: ${where}${quote(entry)} ${wanted}`;
    const piece = pieceOf(entry);
    return piece === undefined
      ? `${label}: line ${line} is no backend: write http://127.0.0.1:3000`
      : `${label}: ${where}${quote(piece)} ${wanted}`;
  });
  const more = list.faults.length - MOST_FAULTS;
  if (more > 0) faults.push(`${label}: ${more} more entries are wrong`);
  for (const url of urls) {
    const fault = ownFault(url, own);
    if (fault !== undefined) {
      faults.push(`${label}: ${quote(url)} ${fault}: write another port`);
    }
  }
  if (workers !== 1 && urls.length > MOST_LISTED) {
    faults.push(
      `${label}: has ${urls.length} backends: with WORKERS write at most ` +
        MOST_LISTED,
    );
  }
  faults.push(...foreignFaults(urls, env));
  return { backends: list.backends, faults };
}

/** Where a server with these options listens. */
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

/** Where the admin port listens, and the names that it answers to. */
export function adminHosts(
  host: string | readonly string[] | undefined,
): readonly string[] {
  return checkedOption(
    "ADMIN_HOST",
    typeof host === "string" ? [host] : host,
  );
}

/** Says that a backend is one of these listeners, if it is. */
export function ownFault(
  url: string,
  listeners: readonly Listener[],
): string | undefined {
  // Port 0 is not known yet, and no backend has it.
  const own = listeners.find((listener) => leadsTo(url, listener));
  if (own === undefined) return undefined;
  return own.isAdmin ? "is this proxy's admin port" : "is this proxy";
}

/** What may be repeated of a line; nothing if it does not look like a backend. */
function pieceOf(entry: string): string | undefined {
  const [address = ""] = entry.split(/\s/, 1);
  if (/^(?:[a-z][a-z\d+.-]*:\/\/|unix:)/i.test(address)) {
    return oneLine(withoutQuery(masked(address)));
  }
  return address.length <= 40 && /^[\w-]*[.:][\w.:-]*$/.test(address)
    ? address
    : undefined;
}
