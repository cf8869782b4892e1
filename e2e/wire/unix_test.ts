import { wireTests } from "./tests.ts";
import { unix } from "./unix.ts";

wireTests(unix);
