import { methods } from "./methods.ts";
import { wireTests } from "./tests.ts";

wireTests(methods);
