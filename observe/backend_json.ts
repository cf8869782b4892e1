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

/** Tells of a backend. */
export function backendJson(
  backend: Backend,
  report: ProbeReport | undefined,
): BackendJson {
  const { id, url, weight, backup, maxConns, up, ejected, draining } = backend;
  return {
    id,
    url,
    name: backend.name ?? null,
    state: stateOf(backend),
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
