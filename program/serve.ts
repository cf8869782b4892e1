/**
 * A proxy with listeners in front of it: for its clients, and for its operator.
 *
 * @module
 */

import { parseBackendUrl } from "../config/backends.ts";
import { leadsTo } from "../config/listener.ts";
import { checkedNumber } from "../config/check.ts";
import { proxyVariableFault } from "../config/no_proxy.ts";
import type { AdminOptions, ServeOptions } from "../config/options.ts";
import { Admin } from "../observe/admin.ts";
import { explainer } from "../observe/explain.ts";
import { tokenCheck } from "../observe/token.ts";
import { systemClock } from "../runtime/clock.ts";
import { env, processFacts, writeLine } from "../runtime/process.ts";
import type { Listener } from "../runtime/listener.ts";
import { listen } from "../runtime/runtime.ts";
import { drain, Gate } from "../runtime/serve.ts";
import { workersFault } from "../runtime/workers.ts";
import { HOUR_MS, type Inside, insides, type Proxy } from "./create.ts";
import { VERSION } from "./version.ts";

/** Milliseconds that answers on the admin port may still take at the end. */
const ADMIN_END_MS = 500;

/** A proxy that is listened for. */
export interface Server extends AsyncDisposable {
  /** The port, also when a free one was taken. */
  readonly port: number;
  /** Where it listens, as a URL. */
  readonly url: string;
  /** Where the dashboard is, as a URL, if there is an admin port. */
  readonly adminUrl: string | undefined;
  /**
   * Drains and stops, the proxy included. May be called twice.
   */
  stop(): Promise<void>;
  /** Resolves when it has stopped. */
  readonly finished: Promise<void>;
}

/**
 * Listens in front of a proxy, in the same way on both runtimes.
 *
 * @throws {RangeError} If an option cannot be used.
 * @throws If the port cannot be had.
 */
export function serve(proxy: Proxy, options: ServeOptions = {}): Server {
  const inside = insides.get(proxy);
  if (inside === undefined) {
    throw new TypeError("Cannot serve: this proxy is not from createProxy()");
  }
  const workers = workersFault(options.workers);
  if (workers !== undefined) {
    throw new RangeError(`Cannot serve: workers ${workers}`);
  }
  const { host = "0.0.0.0", tls } = options;
  const drainOptions = {
    delayMs: checkedNumber("drainDelayMs", options.drainDelayMs, {
      otherwise: 0,
      min: 0,
      max: HOUR_MS,
    }),
    timeoutMs: checkedNumber("drainTimeoutMs", options.drainTimeoutMs, {
      otherwise: 10_000,
      min: 0,
      max: HOUR_MS,
    }),
    clock: systemClock,
  };
  const gate = new Gate(proxy.fetch);
  const listener = listen(gate.handle, {
    port: checkedNumber("port", options.port, {
      otherwise: 8080,
      min: 0,
      max: 65535,
    }),
    host,
    tls,
    log: (line) => writeLine("err", `sluice: ${line}`),
  });
  const { forwarder } = inside;
  let admin: AdminServer | undefined;
  try {
    if (options.admin) {
      admin = serveAdmin(proxy, inside, options.admin, {
        host,
        port: listener.port,
      });
    }
  } catch (error) {
    listener.kill();
    throw error;
  }
  let stopping: Promise<void> | undefined;
  const { promise: finished, resolve } = Promise.withResolvers<void>();
  const stop = () =>
    stopping ??= drain(listener, gate, {
      drain: inside.drain,
      get uploading() {
        return forwarder.uploading;
      },
      get started() {
        return forwarder.started;
      },
      get bridged() {
        return forwarder.bridged;
      },
      goAway: () => forwarder.goAway(),
      cut: () => forwarder.cut(),
      stop: proxy.stop,
    }, drainOptions).then(() => admin?.stop()).then(resolve);
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    port: listener.port,
    url: `${tls === undefined ? "http" : "https"}://${shown}:${listener.port}`,
    adminUrl: admin?.url,
    stop,
    finished,
    [Symbol.asyncDispose]: stop,
  };
}

/** The admin listener. */
interface AdminServer {
  url: string;
  stop(): Promise<void>;
}

/** Listens for the dashboard, the metrics and the admin API. */
function serveAdmin(
  proxy: Proxy,
  inside: Inside,
  options: AdminOptions,
  own: { host: string; port: number },
): AdminServer {
  const { host = "127.0.0.1", token } = options;
  const { forwarder, report, policy, trusts, log } = inside;
  const { pool } = proxy;
  const { metrics, probes } = inside.observe();
  if (token !== undefined) {
    if (!/^[\x21-\x7e]{16,512}$/.test(token)) {
      throw new TypeError(
        "Cannot serve: admin.token is not 16 to 512 visible ASCII characters",
      );
    }
    const knows = tokenCheck(token);
    forwarder.explainer = explainer({ pool, policy, trusts, knows });
  }
  const handler = new Admin({
    pool,
    report,
    probes,
    snapshot: () => metrics.snapshot(),
    checkUrl: (url) => {
      const result = parseBackendUrl(url);
      if ("wanted" in result) return result;
      if (leadsTo(result.value, own)) return { wanted: "is this proxy" };
      const diverted = proxyVariableFault([result.value], env);
      return diverted === undefined
        ? result
        : { wanted: `cannot be reached: ${diverted}` };
    },
    draining: () => inside.draining,
    process: processFacts,
    version: VERSION,
    policy,
    token,
    host,
    clock: systemClock,
    log,
  });
  let listener: Listener;
  try {
    listener = listen((request) => handler.handle(request), {
      port: checkedNumber("admin.port", options.port, {
        otherwise: 0,
        min: 0,
        max: 65535,
      }),
      host,
      log,
    });
  } catch (error) {
    handler.stop();
    throw error;
  }
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    url: `http://${shown}:${listener.port}`,
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
