import {
  mapping,
  mappingBehindFront,
  mappingForStrangers,
  mappingToOwnName,
} from "./mapping.ts";
import { wireTests } from "./tests.ts";

for (
  const group of [
    mapping,
    mappingBehindFront,
    mappingForStrangers,
    mappingToOwnName,
  ]
) wireTests(group);
