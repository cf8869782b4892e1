import { bodies } from "./bodies.ts";
import { wireTests } from "./tests.ts";

wireTests(bodies);
