import { loop } from "./loop.ts";
import { wireTests } from "./tests.ts";

wireTests(loop);
