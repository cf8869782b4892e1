/**
 * The listener for clients in this process.
 *
 * @module
 */

import { urlHost } from "../base/text.ts";
import type { ServeOptions, TlsOptions } from "../config/options.ts";
import type { Served } from "../proxy/guard.ts";
import { listen } from "../runtime/runtime.ts";
import {
  drain,
  type Drainable,
  type DrainOptions,
  Gate,
} from "../runtime/serve.ts";
import { isWorker } from "../runtime/sharing.ts";
import { answering } from "./answering.ts";
import type { Core } from "./core.ts";
import { OwnHandler } from "./handler.ts";

/** Accepts the requests of clients. */
export interface Front {
  port: number;
  /** Resolves once it listens. */
  ready: Promise<void>;
  /** Uses another certificate for new connections. */
  setCertificate(tls: TlsOptions): Promise<void>;
  /** Drains and stops it, and the proxy with it. */
  drain(options: DrainOptions): Promise<void>;
  /** Stops it at once. */
  kill(): void;
}

/** Checked options of a listener in this process. */
export interface HereOptions extends ServeOptions {
  readonly host: string;
  readonly port: number;
}

/** Listens in this process. */
export function serveHere(
  core: Core,
  { host, port, tls, fetch }: HereOptions,
): Front {
  const { forwarder } = core;
  const served: Served = {
    scheme: tls === undefined ? "http" : "https",
    authority: undefined,
    direct: fetch === undefined,
  };
  const own = fetch && new OwnHandler(fetch, served, () => core.draining);
  const gate = new Gate(
    own === undefined
      ? (request, connection) => forwarder.handle(request, connection, served)
      : answering(own.handle, core.callbacks.log),
  );
  const listener = listen(gate.handle, {
    port,
    host,
    tls,
    shared: isWorker(),
    websocket: core.websocket,
    log: core.callbacks.log,
  });
  served.authority = `${urlHost(host)}:${listener.port}`;
  const drainable: Drainable = {
    drain: () => void (core.draining = true),
    get uploading() {
      return forwarder.uploading;
    },
    get started() {
      return own?.started ?? forwarder.started;
    },
    get bridged() {
      return forwarder.bridged;
    },
    goAway: () => forwarder.goAway(),
    cut: () => forwarder.cut(),
    stop: core.life.stop,
  };
  return {
    port: listener.port,
    ready: Promise.resolve(),
    setCertificate: (tls) =>
      listener.setCertificate?.(tls) ??
        Promise.reject(new Error("this runtime keeps the one it began with")),
    drain: (options) =>
      drain(listener, gate, drainable, {
        ...options,
        barrier: core.barrier,
      }),
    kill: () => listener.kill(),
  };
}
