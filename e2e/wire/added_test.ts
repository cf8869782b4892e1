import { requestIds, stickyCookies, viaOff } from "./added.ts";
import { wireTests } from "./tests.ts";

for (const group of [viaOff, requestIds, stickyCookies]) wireTests(group);
