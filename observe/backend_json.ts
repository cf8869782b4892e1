/**
 * A backend as the admin API tells of it.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ProbeReport } from "../health.ts";

/** What the admin API tells of a backend. */
export interface BackendJson {
  id: string;
  url: string;
  /** What it is called; null when that is its URL. */
  name: string | null;
  /** The one word for its state that matters most. */
  state: "up" | "down" | "ejected" | "draining" | "resting";
  /** Since when, as ISO 8601; null when it has been so from the start. */
  since: string | null;
  /** Why, in a few words; null when nothing was said. */
  reason: string | null;
  weight: number;
  backup: boolean;
  /** Most requests at once; null for no limit. */
  maxConns: number | null;
  up: boolean;
  ejected: boolean;
  draining: boolean;
  inFlight: number;
  requests: number;
  /** The last probe; null before there was one, and where there are none. */
  probe: {
    durationMs: number | null;
    status: number | null;
    error: string | null;
    made: number;
    failed: number;
  } | null;
}

/** How a backend came into its state. */
export interface LastChange {
  /** When, in milliseconds since 1970; none for the state that it began with. */
  readonly at: number | undefined;
  /** Why, in a few words, where that was said. */
  readonly reason: string | undefined;
}

/** Tells of a backend. */
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

/** One word; what somebody has decided comes before what was found out. */
export function stateOf(
  { up, ejected, draining, weight }: Backend,
): BackendJson["state"] {
  if (draining) return "draining";
  if (!up) return "down";
  if (ejected) return "ejected";
  return weight === 0 ? "resting" : "up";
}
