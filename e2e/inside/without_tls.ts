/**
 * The program on a runtime without what certificates are replaced with, as a later
 * version of it may be. `e2e/certificates_test.ts` runs it.
 *
 * @module
 */

import process from "node:process";

const { Deno: deno } = globalThis as { Deno?: { internal?: symbol } };
if (deno === undefined) {
  Object.defineProperty(process, "platform", { value: "darwin" });
} else {
  const inside = (deno as Record<symbol, Record<string, unknown>>)[
    deno.internal!
  ];
  delete inside!.serveHttpOnConnection;
}

const { main } = await import("../../program/main.ts");
await main();
