/**
 * Workers that listen in place of this process, which probes and decides. The
 * modules of the workers are loaded only if they are used.
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
import { MAX_SHARED } from "../workers/capacity.ts";
import type { Common, Crew } from "../workers/crew.ts";
import type { Core } from "./core.ts";
import type { Front } from "./front.ts";
import { functionsForWorkers } from "./hooks.ts";

/** Checked options of a server with workers. */
export interface WorkersOptions extends ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly workers: number | "auto";
}

/**
 * Starts workers that listen.
 *
 * @throws {RangeError | TypeError} If an option cannot be passed to a worker.
 * @throws If the port cannot be opened.
 */
export function serveWorkers(
  core: Core,
  { admin, workers, fetch, redirectPort: _redirectPort, ...options }:
    WorkersOptions,
): Front {
  const plain = plainOptions(core, workers, fetch !== undefined);
  core.pool.limit(MAX_SHARED);
  const port = tryPort(options.host, options.port);
  core.hasWorkers = true;
  // Keeps this process running in a moment in which all workers are dead.
  const release = stayAlive();
  const making = makeCrew(core, workersOf(workers), {
    proxy: {
      ...plain,
      stickySecret: plain.stickySecret ?? crypto.randomUUID(),
    },
    serve: { ...options, port },
    pseudonym: core.pseudonym,
    token: admin ? admin.token : undefined,
  });
  const end = (made: CrewMemory | undefined) => {
    release();
    made?.crew.kill();
    made?.free();
  };
  const kill = () => void making.then(end, () => end(undefined));
  const ready = Promise.all([making, core.life.ready]).then(
    async ([{ crew }]) => {
      await crew.start();
    },
  );
  // If `ready` is not awaited, the log has the reason.
  ready.catch((error) => {
    core.callbacks.log(`cannot serve: ${error.message}`);
    kill();
  });
  return {
    port,
    ready,
    async setCertificate(tls) {
      const { crew } = await making;
      await crew.setCertificate(tls);
    },
    async drain({ delayMs, timeoutMs }) {
      core.draining = true;
      const made = await making.catch(() => undefined);
      await made?.crew.stop(delayMs + timeoutMs);
      end(made);
      await core.life.stop();
    },
    kill,
  };
}

/**
 * The options that are plain values; the others are for this process.
 *
 * @throws {RangeError | TypeError} If workers need one that is not a plain
 * value.
 */
function plainOptions(
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
    // This process probes, perhaps with a custom check.
    health: _health,
    ...plain
  } = options;
  try {
    // Checked now: workers get them later, when the caller could not be told.
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

/** Workers, and the memory that they share. */
interface CrewMemory {
  readonly crew: Crew;
  /** Frees the memory. */
  free(): void;
}

/** Makes workers, not yet started; from now on counts are shared with them. */
async function makeCrew(
  core: Core,
  size: number,
  common: Common,
): Promise<CrewMemory> {
  const [{ Crew }, { tableBytes }, { sharedMemory, startWorker }] =
    await Promise.all([
      import("../workers/crew.ts"),
      import("../workers/table.ts"),
      import("../runtime/workers.ts"),
    ]);
  const { pool, judges, callbacks } = core;
  const memory = sharedMemory(tableBytes(size));
  const rates = core.checked.rateLimit && sharedMemory(RATE_TABLE_BYTES);
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
  core.useWorkers(crew);
  return {
    crew,
    free() {
      memory.free();
      rates?.free();
    },
  };
}
