import {
  fields,
  requestIds,
  stickyCookies,
  trust,
  trustMapped,
  trustOfOthers,
  trustV6,
  viaOff,
} from "./fields.ts";
import { wireTests } from "./tests.ts";

wireTests(fields);
for (
  const group of [
    trust,
    trustV6,
    trustMapped,
    trustOfOthers,
    viaOff,
    requestIds,
    stickyCookies,
  ]
) wireTests(group);
