/**
 * The admin listener. The dashboard, the metrics and the admin API are loaded when
 * there is one: most library users have none.
 *
 * @module
 */

import { messageOf, urlHost } from "../base/text.ts";
import { checkedOption, optionalOption } from "../config/option.ts";
import { adminHosts } from "../config/read_backends.ts";
import type { AdminOptions } from "../config/options.ts";
import { systemClock } from "../base/clock.ts";
import type { Listener } from "../runtime/listener.ts";
import { listen } from "../runtime/runtime.ts";
import type { Core } from "./core.ts";

/** Milliseconds for responses on the admin port to finish at the end. */
const ADMIN_END_MS = 500;

/** The admin listener. */
export interface AdminServer {
  /** Address, port and URL that it listens on. */
  host: string;
  port: number;
  url: string;
  /** Resolves once requests are answered; earlier ones wait. */
  ready: Promise<void>;
  /** Stops it and ends open responses. */
  stop(): Promise<void>;
}

/** Checked options of the admin listener. */
export interface CheckedAdmin {
  /** The host to listen on, then further names that it answers to. */
  readonly names: readonly string[];
  readonly port: number;
  readonly token: string | undefined;
}

/**
 * Checks the options before anything listens.
 *
 * @throws {TypeError | RangeError} If one is invalid.
 */
export function checkedAdmin(options: AdminOptions): CheckedAdmin {
  return {
    names: adminHosts(options.host),
    port: checkedOption("ADMIN_PORT", options.port) || 0,
    token: optionalOption("ADMIN_TOKEN", options.token),
  };
}

/** Starts the admin listener. */
export function serveAdmin(
  core: Core,
  { names, port, token }: CheckedAdmin,
): AdminServer {
  const [host = ""] = names;
  const { log } = core.callbacks;
  // Counting starts now, and not when the modules have been loaded.
  core.observe();
  const loading = import("./admin_handler.ts").then(({ adminOf }) =>
    adminOf(core, { names, token })
  );
  // `ready` reports a failure.
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
    const reason = messageOf(error);
    throw new Error(`admin port ${port}: ${reason}`, { cause: error });
  }
  return {
    host,
    port: listener.port,
    url: `http://${urlHost(host)}:${listener.port}`,
    ready: loading.then(() => {}),
    stop: async () => {
      await loading.then((handler) => handler.stop(), () => {});
      // Open responses, such as event streams, must not delay the end.
      const closing = listener.close().catch(() => {});
      await Promise.race([
        closing,
        new Promise<void>((r) => systemClock.setTimeout(r, ADMIN_END_MS)),
      ]);
      listener.kill();
    },
  };
}
