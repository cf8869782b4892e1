import { quietStreams } from "./streaming.ts";
import { wireTests } from "./tests.ts";

wireTests(quietStreams);
