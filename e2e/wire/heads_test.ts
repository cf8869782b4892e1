import { heads, longTargets } from "./heads.ts";
import { wireTests } from "./tests.ts";

wireTests(heads);
wireTests(longTargets);
