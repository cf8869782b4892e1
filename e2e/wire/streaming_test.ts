import { streaming } from "./streaming.ts";
import { wireTests } from "./tests.ts";

wireTests(streaming);
