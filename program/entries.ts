/**
 * The backends of a list, checked: from what may be written to what a pool holds.
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
import { defaultOf } from "../config/option.ts";
import type { BackendInit, BackendOptions } from "../config/options.ts";
import type { BackendEntry } from "../discovery/membership.ts";
import { sendsServerName, type SentBy } from "../runtime/runtime.ts";

/** A backend that is added to the pool, checked. */
export function entryToAdd(given: BackendSpec, index: number): BackendEntry {
  if (typeof given === "string" || typeof given === "function") {
    return fixedEntry(entryOf(given, "backend", index));
  }
  if (!("authority" in given) || given.authority === undefined) {
    return fixedEntry(entryOf(given, "backend", index));
  }
  // One that a name was looked up to is called after that name and its address.
  const { authority, name } = given;
  const entry = fixedEntry(
    entryOf({ ...given, name: undefined }, "backend", index),
  );
  return { ...entry, authority, name };
}

/** An entry for a pool that is there already, and looks no names up. */
function fixedEntry({ resolve, ...entry }: BackendEntry): BackendEntry {
  if (resolve === true) {
    throw new TypeError(
      "Cannot add a backend: resolve is for the list that a proxy starts with",
    );
  }
  return entry;
}

/** A backend of the list, checked. */
export function entryOf(
  init: BackendInit,
  name: string,
  index: number,
): BackendEntry {
  const backend = typeof init === "string"
    ? checkedText(name, init, parseBackend)
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
    // What was checked once says Infinity for no limit.
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
    // Functions have names of their own, which need not differ, and may hold
    // anything.
    const called = answer.name.replace(/[^\w.$-]/g, "_") || "anonymous";
    return { ...settings, url: `function:${called}-${index}`, answer };
  }
  return { ...settings, ...placeOf(backend as BackendOptions, name) };
}

/** Where a backend is, checked. */
function placeOf(
  { url: written, resolve: again }: BackendOptions,
  name: string,
): { url: string; resolve: boolean } {
  const url = checkedText(name, written, parseBackendUrl);
  const resolve = again === true;
  if (resolve && !("value" in parseBackend(`${url} resolve`))) {
    throw new TypeError(
      `Cannot make a proxy: ${name} "${url}" has resolve without a name to look up`,
    );
  }
  return { resolve, url };
}

/** What keeps a backend's name from being looked up, if anything does. */
export function resolveFault(
  { url, resolve }: { url: string; resolve?: boolean | undefined },
  by: SentBy = defaultOf("TRANSPORT")!,
): string | undefined {
  return resolve === true && url.startsWith("https:") && !sendsServerName(by)
    ? `"${url}" has resolve, but Deno's fetch cannot ask an address for the ` +
      "certificate of a name: leave resolve out, or send by socket"
    : undefined;
}
