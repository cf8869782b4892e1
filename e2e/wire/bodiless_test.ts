import { bodilessAsItIs, bodilessCopied, bodilessSticky } from "./bodiless.ts";
import { wireTests } from "./tests.ts";

wireTests(bodilessAsItIs);
wireTests(bodilessCopied);
wireTests(bodilessSticky);
