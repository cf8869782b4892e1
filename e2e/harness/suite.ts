/**
 * One suite, two runtimes: {@linkcode forBoth} registers a test for each, and
 * both are held to the same promises.
 *
 * ```ts ignore
 * forBoth("GET passes the query on", async (runtime) => {
 *   await using backend = await rawBackend();
 *   await using proxy = await startProxy(runtime, {
 *     env: { BACKENDS: backend.url },
 *   });
 *   await rawRequest(proxy.port, requestText("GET", "/a?b=c"));
 *   assert.equal(backend.requests[0]?.target, "/a?b=c");
 * });
 * ```
 *
 * @module
 */

import { bunPath, denoPath, inPath } from "../../testing/tools.ts";
import { closeAll } from "./cleanup.ts";
import { type Runtime, RUNTIMES } from "./proxy.ts";
import { within } from "./wait.ts";

/** Options for {@linkcode forBoth} and {@linkcode forOnce}. */
export interface CaseOptions {
  /** Past it the test fails and all it has open is closed. @default {30_000} */
  timeoutMs?: number;
  /** Skips the test; the reason is added to its name. */
  skip?: string | undefined;
  /** Only these runtimes; the reason belongs in a comment beside it. */
  runtimes?: readonly Runtime[];
  /** @default {true} */
  sanitizeOps?: boolean;
  /** @default {true} */
  sanitizeResources?: boolean;
}

/** A test of the program under one runtime. */
export type Case = (
  runtime: Runtime,
  t: Deno.TestContext,
) => Promise<void> | void;

/** Registers a test for each runtime: `name [deno]` and `name [bun]`. */
export function forBoth(name: string, body: Case): void;
export function forBoth(name: string, options: CaseOptions, body: Case): void;
export function forBoth(
  name: string,
  second: CaseOptions | Case,
  third?: Case,
): void {
  const [options, body] = typeof second === "function"
    ? [{}, second]
    : [second, third!];
  for (const runtime of options.runtimes ?? RUNTIMES) {
    register(`${name} [${runtime}]`, options, async (t) => {
      // Fetched here, outside the time limit: the first test on a new machine
      // would fail otherwise.
      await (runtime === "bun" ? bunPath() : denoPath());
      return (): Promise<void> | void => body(runtime, t);
    });
  }
}

/** Registers a test that no runtime makes a difference to, on the same terms. */
export function forOnce(
  name: string,
  second: CaseOptions | ((t: Deno.TestContext) => Promise<void> | void),
  third?: (t: Deno.TestContext) => Promise<void> | void,
): void {
  const [options, body] = typeof second === "function"
    ? [{}, second]
    : [second, third!];
  register(name, options, (t) => Promise.resolve(() => body(t)));
}

function register(
  name: string,
  options: CaseOptions,
  prepare: (t: Deno.TestContext) => Promise<() => Promise<void> | void>,
): void {
  const { timeoutMs = 30_000, skip } = options;
  const { sanitizeOps = true, sanitizeResources = true } = options;
  Deno.test({
    name: skip === undefined ? name : `${name} (skipped: ${skip})`,
    ignore: skip !== undefined,
    sanitizeOps,
    sanitizeResources,
    async fn(t) {
      const body = await prepare(t);
      let failed = true;
      try {
        await within(
          (async () => await body())(),
          timeoutMs,
          `the end of this test (its time limit)`,
        );
        failed = false;
      } finally {
        const left = await closeAll();
        // The first failure is the one to report; the leaks follow from it.
        if (!failed && left.length > 0) {
          // deno-lint-ignore no-unsafe-finally
          throw new Error(`The test left open: ${left.join(", ")}`);
        }
      }
    },
  });
}

/**
 * For a test that needs programs of the system: nothing when all are there,
 * else the reason why the test is skipped.
 *
 * ```ts ignore
 * forBoth("nginx in front", skippedWithout("nginx"), async (runtime) => {});
 * ```
 */
export function skippedWithout(...programs: string[]): CaseOptions {
  const missing = programs.filter((program) => inPath(program) === undefined);
  return missing.length === 0
    ? {}
    : { skip: `${missing.join(", ")} not installed` };
}
