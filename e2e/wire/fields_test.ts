import { fields, trust, trustMapped, trustOfOthers, viaOff } from "./fields.ts";
import { wireTests } from "./tests.ts";

for (const group of [fields, trust, trustMapped, trustOfOthers, viaOff]) {
  wireTests(group);
}
