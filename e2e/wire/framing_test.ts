import { framingAsItIs, framingFollowed } from "./framing.ts";
import { wireTests } from "./tests.ts";

wireTests(framingAsItIs);
wireTests(framingFollowed);
