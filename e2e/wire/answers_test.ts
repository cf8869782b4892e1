import { answers, locationsBehindBasePath } from "./answers.ts";
import { wireTests } from "./tests.ts";

wireTests(answers);
wireTests(locationsBehindBasePath);
