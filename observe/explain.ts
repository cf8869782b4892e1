/**
 * Explains to an authorized client how its request was answered: the attempts,
 * their outcomes, and the backends that were skipped.
 *
 * The result goes into `Server-Timing`, which browsers show with the request,
 * and only if `Sluice-Debug` is the admin token: otherwise responses name no
 * backend. A request from a trusted proxy is not authorized by that, since the
 * proxy passes on what its own clients have written.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { Attempt, Explainer } from "../proxy/observed.ts";
import { stateOf } from "./backend_json.ts";

/** Options for {@linkcode explainer}. */
export interface ExplainerOptions {
  /** The backends. */
  pool: Pool;
  /** Name of the policy. */
  policy: string;
  /** Whether a value is the token. */
  knows: (given: string) => boolean;
}

/** Skipped backends that are named; further ones are only counted. */
const MAX_NAMED = 10;

/** Makes an explainer. */
export function explainer(
  { pool, policy, knows }: ExplainerOptions,
): Explainer {
  return {
    allows: knows,
    text: (attempts, ms) => explanation(attempts, ms, { pool, policy }),
  };
}

/** The value of `Server-Timing` (W3C Server Timing §4). */
export function explanation(
  attempts: readonly Attempt[],
  ms: number,
  { pool, policy }: { pool: Iterable<Backend>; policy: string },
): string {
  const metrics = [metric("sluice", ms, `policy ${policy}`)];
  for (const { backend, ms, outcome } of attempts) {
    metrics.push(metric("attempt", ms, `${backend.label}: ${outcome}`));
  }
  let skipped = 0;
  for (const backend of pool) {
    const why = skipReason(backend);
    const tried = attempts.some((attempt) => attempt.backend === backend);
    if (why === undefined || tried) continue;
    if (++skipped <= MAX_NAMED) {
      metrics.push(metric("skipped", undefined, `${backend.label}: ${why}`));
    }
  }
  if (skipped > MAX_NAMED) {
    const more = `and ${skipped - MAX_NAMED} more`;
    metrics.push(metric("skipped", undefined, more));
  }
  return metrics.join(", ");
}

/** Why a backend was skipped, if there was a reason. */
function skipReason(backend: Backend): string | undefined {
  const state = stateOf(backend);
  if (state !== "up") return state;
  if (backend.inFlight >= backend.maxConns) return "full";
  return backend.backup ? "a backup" : undefined;
}

function metric(name: string, ms: number | undefined, desc: string): string {
  const duration = ms === undefined ? "" : `;dur=${Math.round(ms * 100) / 100}`;
  const text = desc.replace(/[^\x20-\x7e]/g, "?").replace(/["\\]/g, "\\$&");
  return `${name}${duration};desc="${text}"`;
}
