/**
 * A backend as the admin API shows it.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ProbeReport } from "../health.ts";

/** A backend in the admin API. */
export interface BackendJson {
  id: string;
  url: string;
  /** Its name; null if it has none. */
  name: string | null;
  /** The most important aspect of its state, in one word. */
  state: "up" | "down" | "ejected" | "draining" | "resting";
  /** Start of that state as ISO 8601; null if unchanged since start. */
  since: string | null;
  /** The reason, in a few words; null if there is none. */
  reason: string | null;
  weight: number;
  backup: boolean;
  /** Maximum concurrent requests; null for no limit. */
  maxConns: number | null;
  up: boolean;
  ejected: boolean;
  draining: boolean;
  inFlight: number;
  requests: number;
  /** The last probe; null if there was none. */
  probe: {
    durationMs: number | null;
    status: number | null;
    error: string | null;
    made: number;
    failed: number;
  } | null;
}

/** The last change of a backend's state. */
export interface LastChange {
  /** In milliseconds since 1970; `undefined` for the initial state. */
  readonly at: number | undefined;
  /** The reason, in a few words, if there is one. */
  readonly reason: string | undefined;
}

/** Describes a backend. */
export function backendJson(
  backend: Backend,
  report: ProbeReport | undefined,
  change?: LastChange,
): BackendJson {
  const { id, url, weight, backup, maxConns, up, ejected, draining } = backend;
  return {
    id,
    url,
    name: backend.name ?? null,
    state: stateOf(backend),
    since: change?.at === undefined ? null : new Date(change.at).toISOString(),
    reason: change?.reason ?? null,
    weight,
    backup,
    maxConns: maxConns === Infinity ? null : maxConns,
    up,
    ejected,
    draining,
    inFlight: backend.inFlight,
    requests: backend.requests,
    probe: report === undefined || report.made === 0 ? null : {
      durationMs: report.lastMs === undefined
        ? null
        : Math.round(report.lastMs * 1000) / 1000,
      status: report.last?.status ?? null,
      error: report.last?.error ?? null,
      made: report.made,
      failed: report.failed,
    },
  };
}

/** The state in one word; an operator's decision precedes a verdict. */
export function stateOf(
  { up, ejected, draining, weight }: Backend,
): BackendJson["state"] {
  if (draining) return "draining";
  if (!up) return "down";
  if (ejected) return "ejected";
  return weight === 0 ? "resting" : "up";
}
