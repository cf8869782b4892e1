import { broken } from "./broken.ts";
import { wireTests } from "./tests.ts";

wireTests(broken);
