/**
 * A worker: it answers requests. The first process decides everything that
 * concerns all workers.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import { messageOf } from "../base/text.ts";
import { explainer } from "../observe/explain.ts";
import type { Snapshot } from "../observe/metrics.ts";
import { tokenCheck } from "../observe/token.ts";
import { systemClock, type TimerHandle } from "../base/clock.ts";
import {
  onSignal,
  suppressSignalWarning,
  surviveRejections,
} from "../runtime/process.ts";
import type { Stage } from "../runtime/serve.ts";
import { channelToFirst, mapped } from "../runtime/workers.ts";
import type {
  Begin,
  FromWorker,
  RemoteOutcome,
  ToWorker,
} from "../workers/messages.ts";
import { applyStates, type BackendState } from "../workers/replica.ts";
import { type Place, Table } from "../workers/table.ts";
import type { AsWorker, Core } from "./core.ts";
import { assemble } from "./create.ts";
import { type ProxyServer, serve } from "./serve.ts";

/** Milliseconds to wait for the other workers at each stage of the shutdown. */
const BARRIER_MS = 1_000;

/**
 * Milliseconds during which outcomes and lines are collected in one message.
 */
const BATCH_MS = 5;

/** Items that are sent together after a short time. */
class Batch<T> {
  readonly #send: (items: readonly T[]) => void;
  #items: T[] = [];
  #timer: TimerHandle;

  constructor(send: (items: readonly T[]) => void) {
    this.#send = send;
  }

  add(item: T): void {
    this.#items.push(item);
    this.#timer ??= systemClock.setTimeout(() => this.flush(), BATCH_MS);
  }

  flush(): void {
    systemClock.clear(this.#timer);
    this.#timer = undefined;
    if (this.#items.length > 0) this.#send(this.#items);
    this.#items = [];
  }
}

/** Answers requests until the first process says to stop. */
export function work(): void {
  const line = channelToFirst<ToWorker, FromWorker>();
  const log = (text: string) => line.post({ kind: "log", line: text });
  surviveRejections(log);
  suppressSignalWarning();
  // A terminal sends Ctrl-C to all processes of a program, and a supervisor
  // SIGTERM. The first process decides what to do.
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    onSignal(name, () => {});
  }
  let working: Working | undefined;
  line.onMessage = (message) => {
    switch (message.kind) {
      case "begin":
        try {
          working = begin(message, line.post, log);
          line.post({ kind: "listening", port: working.server.port });
        } catch (error) {
          const reason = messageOf(error);
          line.post({ kind: "cannot", reason });
          // The replacement may be able to.
          throw error;
        }
        break;
      case "backends":
        working?.applyStates(message.backends);
        break;
      case "count":
        working?.count();
        break;
      case "snapshot":
        if (working !== undefined) {
          const snapshot = working.snapshot();
          line.post({ kind: "snapshot", id: message.id, snapshot });
        }
        break;
      case "certificate": {
        const { id, tls } = message;
        // A worker that has not begun begins with the new certificate.
        (working?.server.setCertificate(tls) ?? Promise.resolve()).then(
          () => line.post({ kind: "certified", id }),
          ({ message: reason }: Error) =>
            line.post({ kind: "certified", id, reason }),
        );
        break;
      }
      case "go":
        working?.advance(message.stage);
        break;
      case "drain":
        // A worker that has not begun has nothing to finish. It does not exit
        // by itself: Deno does not report that a thread has exited.
        (working?.stop() ?? Promise.resolve(undefined)).then((snapshot) =>
          line.post({ kind: "stopped", snapshot })
        );
    }
  };
  line.post({ kind: "hello" });
}

/** A worker that has begun. */
interface Working {
  server: ProxyServer;
  applyStates(states: readonly BackendState[]): void;
  count(): void;
  snapshot(): Snapshot;
  /** All workers have reached this stage. */
  advance(stage: Stage): void;
  stop(): Promise<Snapshot>;
}

function begin(
  message: Begin,
  post: (message: FromWorker) => void,
  log: (line: string) => void,
): Working {
  const outcomes = new Batch<RemoteOutcome>((outcomes) =>
    post({ kind: "outcomes", outcomes })
  );
  const lines = new Batch<string>((lines) => post({ kind: "access", lines }));
  const part = partOf(message, outcomes);
  const { proxy, core } = assemble({
    ...message.proxy,
    backends: [],
    health: false,
    eject: false,
    log,
    logAccess: (line) => lines.add(line),
  }, part);
  core.pool.subscribe(({ type, reason = "" }) => {
    if (type === "panic") post({ kind: "panic", reason });
  });
  if (message.token !== undefined) {
    core.forwarder.explainer = explainer({
      pool: core.pool,
      policy: core.checked.policy,
      knows: tokenCheck(message.token),
    });
  }
  const count = () => void core.observe();
  if (message.counts) count();
  const snapshot = () => ownPart(core.observe().metrics.snapshot());
  const advance = waitForOthers(core, post);
  const server = serve(proxy, message.serve);
  return {
    server,
    applyStates: (states) => part.update(core.pool, states),
    count,
    snapshot,
    advance,
    async stop() {
      await server.stop();
      outcomes.flush();
      lines.flush();
      return snapshot();
    },
  };
}

/** A worker's part of the proxy; the first process provides the backends. */
interface Part extends AsWorker {
  update(pool: Pool, states: readonly BackendState[]): void;
}

function partOf(message: Begin, outcomes: Batch<RemoteOutcome>): Part {
  const table = new Table(mapped(message.table), message.of, message.worker);
  let limited = false;
  const update = (pool: Pool, states: readonly BackendState[]) => {
    limited = states.some(({ maxConns }) => maxConns !== Infinity);
    applyStates(pool, states, (at) => table.place(at));
  };
  return {
    of: message.of,
    all: table.all,
    rates: message.rates && {
      memory: mapped(message.rates.at),
      offsetMs: performance.timeOrigin - message.rates.epochMs,
    },
    pseudonym: message.pseudonym,
    update,
    fill: (pool) => update(pool, message.backends),
    get limited() {
      return limited;
    },
    outcome(backend: Backend, good, startedAt, reason) {
      // Skip what the first process does not need: a good outcome when none was
      // bad, and any outcome of an ejected backend.
      const { suspect, at } = backend.shared as Place;
      if (backend.ejected || (good && !suspect)) return;
      const agoMs = systemClock.now() - startedAt;
      outcomes.add({ url: backend.url, place: at, good, agoMs, reason });
    },
  };
}

/**
 * Makes a worker wait for the others at each stage of the shutdown. Call the
 * returned function when all have reached a stage.
 */
function waitForOthers(
  core: Core,
  post: (message: FromWorker) => void,
): (stage: Stage) => void {
  let advance = (_stage: Stage) => {};
  core.barrier = (stage) =>
    new Promise((resolve) => {
      const timer = systemClock.setTimeout(resolve, BARRIER_MS);
      advance = (reached) => {
        if (reached !== stage) return;
        systemClock.clear(timer);
        resolve();
      };
      post({ kind: "reached", stage });
    });
  return (stage) => advance(stage);
}

/**
 * The figures that only this worker has counted. Events of the pool happen in
 * the first process; requests in flight are in the shared table.
 */
function ownPart(snapshot: Snapshot): Snapshot {
  const backends = Object.fromEntries(
    Object.entries(snapshot.backends).map(([id, counts]) => [
      id,
      { ...counts, ejections: 0, inFlight: 0 },
    ]),
  );
  return { ...snapshot, panics: 0, backends };
}
