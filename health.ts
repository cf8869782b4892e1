/**
 * Health of a backend: verdicts of probes, and ejections after bad outcomes.
 *
 * The decisions are pure. {@linkcode observe} folds probe results into a
 * verdict, {@linkcode weigh} folds outcomes into ejections; each takes a value
 * and returns a new one, so every transition can be tested without waiting.
 * {@linkcode Prober} and {@linkcode Ejector} are thin: they hold the timers and
 * write into the pool.
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
  describeProbe,
  passesLeniently,
  type Probe,
  Prober,
  type ProbeReport,
  type ProbeResult,
  type ProberOptions,
} from "./health/prober.ts";
export { CLEAN_STANDING, type Standing, weigh } from "./health/standing.ts";
export { Ejector, type EjectorOptions } from "./health/ejector.ts";
