import { smuggling } from "./smuggling.ts";
import { wireTests } from "./tests.ts";

wireTests(smuggling);
