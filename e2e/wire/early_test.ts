import { earlyRefusals, earlyTimeouts, earlyUnavailable } from "./early.ts";
import { wireTests } from "./tests.ts";

wireTests(earlyRefusals);
wireTests(earlyUnavailable);
wireTests(earlyTimeouts);
