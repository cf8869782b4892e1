/**
 * What the admin listener answers: dashboard, metrics and admin API.
 *
 * @module
 */

import { backendName, parseBackendUrl } from "../config/backends.ts";
import { foreignFaults } from "../config/foreign.ts";
import { isNamed } from "../config/listener.ts";
import { ownFault } from "../config/read_backends.ts";
import {
  Admin,
  type AdminOptions as HandlerOptions,
} from "../observe/admin.ts";
import { explainer } from "../observe/explain.ts";
import { sum } from "../observe/metrics.ts";
import { tokenCheck } from "../observe/token.ts";
import { systemClock } from "../base/clock.ts";
import { env, processFacts } from "../runtime/process.ts";
import { transportName } from "../runtime/runtime.ts";
import type { Core } from "./core.ts";
import { VERSION } from "./version.ts";

/** Creates the admin API; with a token, the proxy also explains its choices. */
export function adminOf(
  core: Core,
  { names, token }: {
    names: readonly string[];
    token: string | undefined;
  },
): Admin {
  if (token !== undefined) {
    const { forwarder, checked: { policy } } = core;
    const knows = tokenCheck(token);
    forwarder.explainer = explainer({ pool: core.pool, policy, knows });
  }
  return new Admin({
    ...handlerOptions(core),
    token,
    answersTo: (name) => isNamed(name, names),
  });
}

/** Options of the admin API, except those that restrict access. */
function handlerOptions(
  core: Core,
): Omit<HandlerOptions, "token" | "answersTo"> {
  const { metrics, probes } = core.observe();
  return {
    pool: core.pool,
    report: core.judges.report,
    probes,
    snapshot: async () => {
      const own = metrics.snapshot();
      const { crew } = core;
      return crew === undefined ? own : sum([own, ...await crew.snapshots()]);
    },
    checkUrl: (url) => {
      const result = parseBackendUrl(url);
      if ("wanted" in result) return result;
      const own = ownFault(result.value, core.listeners);
      if (own !== undefined) return { wanted: own };
      const [foreign] = foreignFaults([result.value], env);
      return foreign === undefined
        ? result
        : { wanted: `cannot be reached: ${foreign}` };
    },
    checkName: backendName.parse,
    draining: () => core.draining,
    certificate: () => core.certificate,
    process: processFacts,
    version: VERSION,
    policy: core.checked.policy,
    transport: transportName(core.options.fetch ?? core.checked.transport),
    pseudonym: core.pseudonym,
    clock: systemClock,
    log: core.callbacks.log,
  };
}
