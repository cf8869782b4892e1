/**
 * Health of a backend: what probes say of it, and what its requests show.
 *
 * The judging is pure. {@linkcode observe} folds probe results into a verdict,
 * {@linkcode weigh} folds outcomes into ejections; each takes a value and gives
 * a new one, so that every transition can be tested without waiting for it.
 * {@linkcode Prober} and {@linkcode Ejector} are the thin parts that hold the
 * timers and write into the pool.
 *
 * @module
 */

export {
  type Health,
  observe,
  type Thresholds,
  UNKNOWN,
} from "./health/verdict.ts";
export {
  adviceOn,
  passesLeniently,
  type Probe,
  Prober,
  type ProbeReport,
  type ProbeResult,
  type ProberOptions,
} from "./health/prober.ts";
export { type Standing, UNBLEMISHED, weigh } from "./health/standing.ts";
export { Ejector, type EjectorOptions } from "./health/ejector.ts";
