/**
 * The listener for a proxy's operator: dashboard, metrics and admin API.
 *
 * @module
 */

import { messageOf, urlHost } from "../base/text.ts";
import { backendName, parseBackendUrl } from "../config/backends.ts";
import { checkedOption, optionalOption } from "../config/option.ts";
import { foreignFaults } from "../config/foreign.ts";
import { isNamed } from "../config/listener.ts";
import { adminHosts, ownFault } from "../config/read_backends.ts";
import type { AdminOptions } from "../config/options.ts";
import {
  Admin,
  type AdminOptions as HandlerOptions,
} from "../observe/admin.ts";
import { explainer } from "../observe/explain.ts";
import { sum } from "../observe/metrics.ts";
import { tokenCheck } from "../observe/token.ts";
import { systemClock } from "../base/clock.ts";
import type { Listener } from "../runtime/listener.ts";
import { env, processFacts } from "../runtime/process.ts";
import { listen } from "../runtime/runtime.ts";
import type { Core } from "./core.ts";
import { VERSION } from "./version.ts";

/** Milliseconds that answers on the admin port may still take at the end. */
const ADMIN_END_MS = 500;

/** The admin listener. */
export interface AdminServer {
  /** Where it listens. */
  host: string;
  port: number;
  url: string;
  /** Ends it, and those who read there. */
  stop(): Promise<void>;
}

/** Options of the admin listener, checked. */
export interface CheckedAdmin {
  /** Where it listens, and further names that it answers to. */
  readonly names: readonly string[];
  readonly port: number;
  readonly token: string | undefined;
}

/**
 * Checks the options, before anything listens.
 *
 * @throws {TypeError | RangeError} If one cannot be used.
 */
export function checkedAdmin(options: AdminOptions): CheckedAdmin {
  return {
    names: adminHosts(options.host),
    port: checkedOption("ADMIN_PORT", options.port) || 0,
    token: optionalOption("ADMIN_TOKEN", options.token),
  };
}

/** Listens for the dashboard, the metrics and the admin API. */
export function serveAdmin(
  core: Core,
  { names, port, token }: CheckedAdmin,
): AdminServer {
  const [host = ""] = names;
  const { log } = core.callbacks;
  if (token !== undefined) {
    const { forwarder, checked: { policy } } = core;
    const knows = tokenCheck(token);
    forwarder.explainer = explainer({ pool: core.pool, policy, knows });
  }
  const handler = new Admin({
    ...handlerOptions(core),
    token,
    answersTo: (name) => isNamed(name, names),
  });
  let listener: Listener;
  try {
    listener = listen((request) => handler.handle(request), {
      port,
      host,
      log,
    });
  } catch (error) {
    handler.stop();
    const reason = messageOf(error);
    throw new Error(`admin port ${port}: ${reason}`, { cause: error });
  }
  return {
    host,
    port: listener.port,
    url: `http://${urlHost(host)}:${listener.port}`,
    stop: async () => {
      handler.stop();
      // Who reads here must not hold up the end.
      const closing = listener.close().catch(() => {});
      await Promise.race([
        closing,
        new Promise<void>((r) => systemClock.setTimeout(r, ADMIN_END_MS)),
      ]);
      listener.kill();
    },
  };
}

/** What the admin API is made of, but for who may ask. */
function handlerOptions(
  core: Core,
): Omit<HandlerOptions, "token" | "answersTo"> {
  const { metrics, probes } = core.observe();
  return {
    pool: core.pool,
    report: core.report,
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
    pseudonym: core.pseudonym,
    clock: systemClock,
    log: core.callbacks.log,
  };
}
