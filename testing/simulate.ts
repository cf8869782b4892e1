/**
 * Runs scenarios without a socket, and prints which requests failed and why,
 * and which backends were ejected and came back when.
 *
 * ```sh
 * deno task simulate                    # names the scenarios
 * deno task simulate death              # runs one of them
 * deno task simulate path/to/file       # runs your own
 * deno task simulate fleet              # many proxies together
 * deno task simulate overload           # what MAX_IN_FLIGHT=auto does
 * ```
 *
 * @module
 */

import { fleet } from "./fleet.ts";
import { COURSES } from "./overload.ts";
import { printOverload } from "./overload_report.ts";
import { readScenario, report, simulate } from "./simulator.ts";

/** Scenarios that come with it; each is a test too. */
export const SCENARIOS: Readonly<Record<string, string>> = {
  death: `
    # One of three dies under load and comes back.
    backends 3
    rate 100
    posts 5
    run 30s
    at 5s  b refuses
    at 15s b answers
  `,
  storm: `
    # All fail at once: the budget keeps the retries down.
    backends 3
    rate 200
    run 20s
    probes off
    at 5s a drops
    at 5s b drops
    at 5s c drops
  `,
  hang: `
    # One takes requests and never answers.
    backends 3
    rate 50
    run 60s
    timeout 1s
    probes off
    at 5s c hangs
  `,
  flapping: `
    # One cuts its answers, is taken out, and comes back as bad as before.
    backends 3
    rate 20
    run 120s
    probes off
    at 5s a truncates
  `,
  rolling: `
    # Restarted one after the other, with a drain that probes see.
    backends 3
    rate 100
    posts 3
    run 40s
    at 1s  a fails
    at 6s  a answers
    at 10s b refuses
    at 15s b answers
    at 20s c misses
  `,
};

if (import.meta.main) {
  const [name] = Deno.args;
  if (name === undefined) {
    console.log(`scenarios: ${Object.keys(SCENARIOS).join(", ")}`);
    console.log("or the path of a file with one (--allow-read), or fleet,");
    console.log(`or overload, or overload ${Object.keys(COURSES).join("|")}`);
  } else if (name === "fleet") {
    await fleet(Deno.args.slice(1));
  } else if (name === "overload") {
    printOverload(Deno.args.slice(1));
  } else {
    const text = SCENARIOS[name] ?? Deno.readTextFileSync(name);
    console.log(text.replace(/^ +/gm, "").trim() + "\n");
    console.log(report(await simulate(readScenario(text))));
  }
}
