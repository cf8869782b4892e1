import { fields } from "./fields.ts";
import { wireTests } from "./tests.ts";

wireTests(fields);
