import { basePath, target } from "./target.ts";
import { wireTests } from "./tests.ts";

wireTests(target);
wireTests(basePath);
