import { wireTests } from "./tests.ts";
import {
  strangers,
  trust,
  trustMapped,
  trustOfOthers,
  trustV6,
} from "./trust.ts";

for (const group of [trust, trustV6, trustMapped, trustOfOthers, strangers]) {
  wireTests(group);
}
