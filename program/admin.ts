/**
 * The listener for a proxy's operator; what answers there is loaded with it, as
 * most proxies in a program of one's own have none.
 *
 * @module
 */

import { urlHost } from "../base/text.ts";
import { checkedOption, optionalOption } from "../config/option.ts";
import { adminHosts } from "../config/read_backends.ts";
import type { AdminOptions } from "../config/options.ts";
import { systemClock } from "../base/clock.ts";
import type { Listener } from "../runtime/listener.ts";
import { listen } from "../runtime/runtime.ts";
import type { Core } from "./core.ts";

/** Milliseconds that answers on the admin port may still take at the end. */
const ADMIN_END_MS = 500;

/** The admin listener. */
export interface AdminServer {
  /** Where it listens. */
  host: string;
  port: number;
  url: string;
  /** Resolves once it answers; a request that comes sooner waits. */
  ready: Promise<void>;
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
  // Counting begins now, and not when its first reader comes.
  core.observe();
  const loading = import("./admin_handler.ts").then(({ adminOf }) =>
    adminOf(core, { names, token })
  );
  // Whoever asks is told; and `ready` says it, if that is awaited.
  loading.catch(() => {});
  let listener: Listener;
  try {
    listener = listen(async (request) => (await loading).handle(request), {
      port,
      host,
      log,
    });
  } catch (error) {
    loading.then((handler) => handler.stop(), () => {});
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`admin port ${port}: ${reason}`, { cause: error });
  }
  return {
    host,
    port: listener.port,
    url: `http://${urlHost(host)}:${listener.port}`,
    ready: loading.then(() => {}),
    stop: async () => {
      await loading.then((handler) => handler.stop(), () => {});
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
