/**
 * Checks backends as they are configured, and gives what a pool holds.
 *
 * @module
 */

import type { BackendSpec } from "../balancer.ts";
import {
  backendName,
  parseBackend,
  parseBackendUrl,
} from "../config/backends.ts";
import { checkedNumber, checkedText } from "../config/check.ts";
import { withoutQuery } from "../config/fault.ts";
import { defaultOf } from "../config/option.ts";
import type { BackendInit, BackendOptions } from "../config/options.ts";
import type { BackendEntry } from "../discovery/membership.ts";
import {
  platformFault,
  sendsServerName,
  type SentBy,
} from "../runtime/runtime.ts";

/** Checks a backend that is added to a pool. */
export function entryToAdd(given: BackendSpec, index: number): BackendEntry {
  if (typeof given === "string" || typeof given === "function") {
    return fixedEntry(entryOf(given, "backend", index));
  }
  if (!("authority" in given) || given.authority === undefined) {
    return fixedEntry(entryOf(given, "backend", index));
  }
  // A backend that comes from a name has a name made from that and its address.
  const { authority, name } = given;
  const entry = fixedEntry(
    entryOf({ ...given, name: undefined }, "backend", index),
  );
  return { ...entry, authority, name };
}

/** Refuses `resolve`, which works only in the list at start. */
function fixedEntry({ resolve, ...entry }: BackendEntry): BackendEntry {
  if (resolve === true) {
    throw new TypeError(
      "Cannot add a backend: resolve is for the list that a proxy starts with",
    );
  }
  return entry;
}

/** Checks a backend of the list. */
export function entryOf(
  init: BackendInit,
  name: string,
  index: number,
): BackendEntry {
  const backend = typeof init === "string"
    ? checkedText(name, init, parseBackend, { shown: withoutQuery })
    : typeof init === "function"
    ? { answer: init }
    : init;
  const settings = {
    name: backend.name === undefined
      ? undefined
      : checkedText(`${name}.name`, backend.name, backendName.parse),
    weight: checkedNumber(`${name}.weight`, backend.weight, {
      otherwise: 1,
      min: 0,
      max: 1000,
    }),
    backup: backend.backup,
    // A backend that was checked before has Infinity for no limit.
    maxConns: backend.maxConns === Infinity
      ? Infinity
      : checkedNumber(`${name}.maxConns`, backend.maxConns, {
        otherwise: Infinity,
        min: 1,
        max: 1_000_000,
      }),
  };
  if ("answer" in backend && backend.answer !== undefined) {
    const { answer } = backend;
    // Function names need not be unique, and may contain anything.
    const called = answer.name.replace(/[^\w.$-]/g, "_") || "anonymous";
    return { ...settings, url: `function:${called}-${index}`, answer };
  }
  return { ...settings, ...placeOf(backend as BackendOptions, name) };
}

/** Checks the URL of a backend. */
function placeOf(
  { url: written, resolve: again }: BackendOptions,
  name: string,
): { url: string; resolve: boolean } {
  const url = checkedText(name, written, parseBackendUrl, {
    shown: withoutQuery,
  });
  const resolve = again === true;
  if (resolve && !("value" in parseBackend(`${url} resolve`))) {
    throw new TypeError(
      `Cannot make a proxy: ${name} "${url}" has resolve, but no host name to look up`,
    );
  }
  return { resolve, url };
}

/** The fault that a backend cannot be looked up by name, if so. */
export function resolveFault(
  { url, resolve }: { url: string; resolve?: boolean | undefined },
  by: SentBy = defaultOf("TRANSPORT")!,
): string | undefined {
  const fault = platformFault({ url, resolve });
  if (fault !== undefined) return fault;
  return resolve === true && url.startsWith("https:") && !sendsServerName(by)
    ? `"${url}" has resolve, but Deno's fetch cannot ask an address for the ` +
      "certificate of a name: leave resolve out, or send by socket"
    : undefined;
}
