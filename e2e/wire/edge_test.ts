import { edge, edgeQuiet } from "./edge.ts";
import { wireTests } from "./tests.ts";

wireTests(edge);
wireTests(edgeQuiet);
