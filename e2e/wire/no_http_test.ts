import { noHttp } from "./no_http.ts";
import { wireTests } from "./tests.ts";

wireTests(noHttp);
