/**
 * Workers in place of a listener of this process, which probes, judges and tells
 * them. Their own modules are loaded when there are to be some, and not before.
 *
 * @module
 */

import { messageOf } from "../base/text.ts";
import type { ProxyOptions, ServeOptions } from "../config/options.ts";
import { systemClock } from "../base/clock.ts";
import { stayAlive } from "../runtime/process.ts";
import { tryPort, workersOf } from "../runtime/sharing.ts";
import { seedRates } from "../proxy/rate_limit.ts";
import { RATE_TABLE_BYTES } from "../proxy/rate_table.ts";
import { MOST_SHARED } from "../workers/capacity.ts";
import type { Common, Crew } from "../workers/crew.ts";
import type { Core } from "./core.ts";
import type { Front } from "./front.ts";
import { functionsForWorkers } from "./hooks.ts";

/** Options of a server with workers, checked. */
export interface WorkersOptions extends ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly workers: number | "auto";
}

/**
 * Has workers listen.
 *
 * @throws {RangeError | TypeError} If an option cannot be handed to them.
 * @throws If the port cannot be had.
 */
export function serveWorkers(
  core: Core,
  { admin, workers, fetch, redirectPort: _redirectPort, ...options }:
    WorkersOptions,
): Front {
  const plain = handedOver(core, workers, fetch !== undefined);
  core.pool.limit(MOST_SHARED);
  const port = tryPort(options.host, options.port);
  core.hasWorkers = true;
  // All workers may be dead at one moment, and the next ones not there yet.
  const rest = stayAlive();
  const hiring = hire(core, workersOf(workers), {
    proxy: {
      ...plain,
      stickySecret: plain.stickySecret ?? crypto.randomUUID(),
    },
    serve: { ...options, port },
    pseudonym: core.pseudonym,
    token: admin ? admin.token : undefined,
  });
  const end = (hired: Hired | undefined) => {
    rest();
    hired?.crew.kill();
    hired?.free();
  };
  const kill = () => void hiring.then(end, () => end(undefined));
  const ready = Promise.all([hiring, core.life.ready]).then(
    async ([{ crew }]) => {
      await crew.start();
    },
  );
  // If `ready` is not awaited, the log says what went wrong.
  ready.catch((error) => {
    core.callbacks.log(`cannot serve: ${error.message}`);
    kill();
  });
  return {
    port,
    ready,
    async setCertificate(tls) {
      const { crew } = await hiring;
      await crew.setCertificate(tls);
    },
    async drain({ delayMs, timeoutMs }) {
      core.draining = true;
      const hired = await hiring.catch(() => undefined);
      await hired?.crew.stop(delayMs + timeoutMs);
      end(hired);
      await core.life.stop();
    },
    kill,
  };
}

/**
 * The proxy's options that are plain values; the rest is for this process.
 *
 * @throws {RangeError | TypeError} If one that workers need is no such value.
 */
function handedOver(
  { options, checked, pool }: Core,
  workers: number | "auto",
  hasHandler: boolean,
): Omit<ProxyOptions, "backends"> {
  const odd = functionsForWorkers(options)[0] ??
    (checked.rateLimit?.key !== undefined ? "rateLimit" : undefined) ??
    (hasHandler
      ? "fetch"
      : pool.backends.some(({ answer }) => answer !== undefined)
      ? "backends"
      : undefined);
  if (odd !== undefined) {
    throw new RangeError(
      `Cannot serve: workers is ${workers}, and ${odd} holds a function, which cannot be handed to a worker`,
    );
  }
  const {
    backends: _backends,
    log: _log,
    logAccess: _logAccess,
    lookup: _lookup,
    fetch: _fetch,
    clock: _clock,
    random: _random,
    // Probes are made here, perhaps by a function.
    health: _health,
    ...plain
  } = options;
  try {
    // Checked now: a worker gets them later, when no caller could be told.
    structuredClone(plain);
  } catch (error) {
    throw new TypeError(
      `Cannot serve: workers is ${workers}, and an option cannot be handed to a worker: ${
        messageOf(error)
      }`,
    );
  }
  return plain;
}

/** Workers, and the memory that they have in common. */
interface Hired {
  readonly crew: Crew;
  /** Gives the memory back. */
  free(): void;
}

/** Makes workers that have not begun; they count with this process from now on. */
async function hire(
  core: Core,
  size: number,
  common: Common,
): Promise<Hired> {
  const [{ Crew }, { tableBytes }, { commonMemory, startWorker }] =
    await Promise.all([
      import("../workers/crew.ts"),
      import("../workers/table.ts"),
      import("../runtime/workers.ts"),
    ]);
  const { pool, judges, callbacks } = core;
  const memory = commonMemory(tableBytes(size));
  const rates = core.checked.rateLimit && commonMemory(RATE_TABLE_BYTES);
  if (rates !== undefined) seedRates(rates.buffer);
  const crew = new Crew({
    size,
    pool,
    spawn: startWorker,
    table: memory,
    common: {
      ...common,
      rates: rates && { at: rates.at, epochMs: performance.timeOrigin },
    },
    outcome: (backend, { good, agoMs, reason }) =>
      judges.outcome(backend, good, callbacks.clock.now() - agoMs, reason),
    suspects: judges.suspects,
    access: callbacks.logAccess,
    clock: systemClock,
    log: callbacks.log,
  });
  core.employ(crew);
  return {
    crew,
    free() {
      memory.free();
      rates?.free();
    },
  };
}
