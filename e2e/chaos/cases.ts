/**
 * All cases, in the order in which they are shown.
 *
 * @module
 */

import { aborts } from "./aborts.ts";
import type { ChaosCase } from "./case.ts";
import { failing, refusing } from "./failing.ts";
import { hung } from "./hung.ts";
import { killed } from "./killed.ts";
import { once } from "./once.ts";
import { rolling } from "./rolling.ts";
import { stopped, stoppedTogether } from "./stopped.ts";
import { unreachable } from "./unreachable.ts";

/** All cases. */
export const CASES: readonly ChaosCase[] = [
  killed,
  once,
  rolling,
  stopped,
  stoppedTogether,
  hung,
  failing,
  refusing,
  unreachable,
  aborts,
];
