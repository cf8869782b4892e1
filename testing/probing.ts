/**
 * A prober without a network: the test decides the result of each probe and
 * moves the clock.
 *
 * @module
 */

import { Pool } from "../balancer.ts";
import {
  type Probe,
  Prober,
  type ProbeResult,
  type ProberOptions,
} from "../health.ts";
import {
  checkedHealth,
  type Ejection,
  type Probing,
} from "../program/health.ts";
import { FakeClock } from "./clock.ts";

const usual = checkedHealth({ backends: [], health: { path: "/health" } });
/** Options of probes, with the defaults of the settings. */
export const probing: Probing = usual.probing!;
/** Options of ejections, with the defaults of the settings. */
export const ejection: Ejection = usual.ejection!;

export const A = "http://10.0.0.1:3000";
export const B = "http://10.0.0.2:3000";

/** One probe that was made. */
export interface Asked {
  url: string;
  path: string;
  at: number;
  signal: AbortSignal;
  /** Ends the probe, unless it ends by itself. */
  end: (result: ProbeResult) => void;
}

/** What {@linkcode world} gives. */
export interface World {
  clock: FakeClock;
  pool: Pool;
  prober: Prober;
  asked: Asked[];
  log: string[];
  events: string[];
  /** The result of each probe; `hang` leaves it open. */
  hear: (url: string) => ProbeResult | Error | "hang";
  of(url: string): Asked[];
}

/** Makes a prober of these backends that has not been started. */
export function world(
  options: Partial<ProberOptions> = {},
  urls: readonly string[] = [A],
): World {
  const clock = new FakeClock(500);
  const pool = new Pool(urls.map((url) => ({ url })));
  const asked: Asked[] = [];
  const log: string[] = [];
  const events: string[] = [];
  pool.subscribe(({ type, backend }) => events.push(`${type} ${backend?.url}`));
  const probe: Probe = (backend, path, signal) => {
    const { promise, resolve } = Promise.withResolvers<ProbeResult>();
    const { url } = backend;
    asked.push({ url, path, at: clock.now(), signal, end: resolve });
    const heard = w.hear(url);
    if (heard instanceof Error) return Promise.reject(heard);
    if (heard !== "hang") resolve(heard);
    return promise;
  };
  const w: World = {
    clock,
    pool,
    asked,
    log,
    events,
    hear: () => ({ status: 200 }),
    of: (url) => asked.filter((one) => one.url === url),
    prober: new Prober(pool, {
      ...probing,
      probe,
      clock,
      intervalMs: 1_000,
      timeoutMs: 400,
      random: () => 0.5,
      log: (line) => log.push(line),
      ...options,
    }),
  };
  return w;
}
