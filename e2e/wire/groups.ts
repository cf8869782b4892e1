/**
 * All groups of cases, in the order of the report.
 *
 * @module
 */

import { requestIds, stickyCookies, viaOff } from "./added.ts";
import { answers, locationsBehindBasePath } from "./answers.ts";
import { bodies } from "./bodies.ts";
import { bodilessAsItIs, bodilessCopied, bodilessSticky } from "./bodiless.ts";
import { broken } from "./broken.ts";
import { cancelling } from "./cancelling.ts";
import type { Group } from "./case.ts";
import { edge, edgeQuiet } from "./edge.ts";
import { fields } from "./fields.ts";
import { earlyRefusals, earlyTimeouts, earlyUnavailable } from "./early.ts";
import { framingAsItIs, framingFollowed } from "./framing.ts";
import { heads, longTargets } from "./heads.ts";
import { host, hostOfBackend, hostPreserved } from "./host.ts";
import { loop } from "./loop.ts";
import {
  mapping,
  mappingBehindFront,
  mappingForStrangers,
  mappingToOwnName,
} from "./mapping.ts";
import { methods } from "./methods.ts";
import { noHttp } from "./no_http.ts";
import { smuggling } from "./smuggling.ts";
import { quietStreams, streaming } from "./streaming.ts";
import { basePath, target } from "./target.ts";
import {
  strangers,
  trust,
  trustMapped,
  trustOfOthers,
  trustV6,
} from "./trust.ts";
import { unix } from "./unix.ts";

/** All of them. */
export const GROUPS: readonly Group[] = [
  target,
  basePath,
  host,
  hostPreserved,
  hostOfBackend,
  methods,
  fields,
  trust,
  trustV6,
  trustMapped,
  trustOfOthers,
  strangers,
  viaOff,
  requestIds,
  stickyCookies,
  mapping,
  mappingBehindFront,
  mappingForStrangers,
  mappingToOwnName,
  loop,
  bodies,
  answers,
  locationsBehindBasePath,
  bodilessAsItIs,
  bodilessCopied,
  bodilessSticky,
  broken,
  noHttp,
  heads,
  longTargets,
  earlyRefusals,
  earlyUnavailable,
  earlyTimeouts,
  framingAsItIs,
  framingFollowed,
  smuggling,
  streaming,
  quietStreams,
  cancelling,
  edge,
  edgeQuiet,
  unix,
];
