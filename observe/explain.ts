/**
 * How a request was answered, for a client that may know: which backends were
 * tried, what became of it, and which were passed over.
 *
 * It goes into `Server-Timing`, which browsers show beside the request, and only
 * for a request whose `Sluice-Debug` is the admin token: an answer otherwise names
 * no backend. That a trusted proxy has sent the request proves nothing, since it
 * passes on whatever its own clients have written.
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
  /** Whether the field's value is the token. */
  knows: (given: string) => boolean;
}

/** Backends passed over that are named; more are only counted. */
const MOST_NAMED = 10;

/** Makes an explainer. */
export function explainer(
  { pool, policy, knows }: ExplainerOptions,
): Explainer {
  return {
    allows: knows,
    text: (attempts, ms) => explanation(attempts, ms, { pool, policy }),
  };
}

/** The value of a `Server-Timing` (W3C Server Timing §4). */
export function explanation(
  attempts: readonly Attempt[],
  ms: number,
  { pool, policy }: { pool: Iterable<Backend>; policy: string },
): string {
  const metrics = [metric("sluice", ms, `policy ${policy}`)];
  for (const { backend, ms, outcome } of attempts) {
    metrics.push(metric("attempt", ms, `${backend.label}: ${outcome}`));
  }
  let passed = 0;
  for (const backend of pool) {
    const why = passedOver(backend);
    const tried = attempts.some((attempt) => attempt.backend === backend);
    if (why === undefined || tried) continue;
    if (++passed <= MOST_NAMED) {
      metrics.push(metric("skipped", undefined, `${backend.label}: ${why}`));
    }
  }
  if (passed > MOST_NAMED) {
    const more = `and ${passed - MOST_NAMED} more`;
    metrics.push(metric("skipped", undefined, more));
  }
  return metrics.join(", ");
}

/** Why a backend was not to be picked, if there was a reason. */
function passedOver(backend: Backend): string | undefined {
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
