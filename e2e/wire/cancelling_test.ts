import { cancelling } from "./cancelling.ts";
import { wireTests } from "./tests.ts";

wireTests(cancelling);
