import { host, hostOfBackend, hostPreserved } from "./host.ts";
import { wireTests } from "./tests.ts";

wireTests(host);
wireTests(hostPreserved);
wireTests(hostOfBackend);
