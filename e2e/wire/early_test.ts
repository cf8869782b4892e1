import { earlyRefusals, earlyTimeouts } from "./early.ts";
import { wireTests } from "./tests.ts";

wireTests(earlyRefusals);
wireTests(earlyTimeouts);
