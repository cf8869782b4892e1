/**
 * A worker: it answers requests, and leaves everything that has to be decided
 * once, for all of them, to the first process.
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
  hushSignalRemark,
  onSignal,
  surviveRejections,
} from "../runtime/process.ts";
import type { Stage } from "../runtime/serve.ts";
import { lineToFirst, mapped } from "../runtime/workers.ts";
import type {
  Begin,
  FromWorker,
  RemoteOutcome,
  ToWorker,
} from "../workers/messages.ts";
import { type BackendState, become } from "../workers/replica.ts";
import { type Place, Table } from "../workers/table.ts";
import type { AsWorker, Core } from "./core.ts";
import { assemble } from "./create.ts";
import { type ProxyServer, serve } from "./serve.ts";

/** Milliseconds that a worker waits for the others on its way out. */
const TOGETHER_MS = 1_000;

/** Milliseconds that outcomes and lines are gathered for one message. */
const GATHER_MS = 5;

/** Items that are sent together, soon. */
class Batch<T> {
  readonly #send: (items: readonly T[]) => void;
  #items: T[] = [];
  #timer: TimerHandle;

  constructor(send: (items: readonly T[]) => void) {
    this.#send = send;
  }

  add(item: T): void {
    this.#items.push(item);
    this.#timer ??= systemClock.setTimeout(() => this.flush(), GATHER_MS);
  }

  flush(): void {
    systemClock.clear(this.#timer);
    this.#timer = undefined;
    if (this.#items.length > 0) this.#send(this.#items);
    this.#items = [];
  }
}

/** Answers requests until the first process says that it is enough. */
export function work(): void {
  const line = lineToFirst<ToWorker, FromWorker>();
  const log = (text: string) => line.post({ kind: "log", line: text });
  surviveRejections(log);
  hushSignalRemark();
  // A terminal sends Ctrl-C to all processes of a program, and a supervisor
  // SIGTERM: what is to be done then, the first one says.
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
          // A worker that cannot work now may be able to later.
          throw error;
        }
        break;
      case "backends":
        working?.become(message.backends);
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
        // One that has not begun will begin with it.
        (working?.server.setCertificate(tls) ?? Promise.resolve()).then(
          () => line.post({ kind: "certified", id }),
          ({ message: reason }: Error) =>
            line.post({ kind: "certified", id, reason }),
        );
        break;
      }
      case "go":
        working?.goOn(message.stage);
        break;
      case "drain":
        // One that has not begun has nothing to finish. It does not exit by
        // itself: Deno does not report a thread's exit.
        (working?.stop() ?? Promise.resolve(undefined)).then((snapshot) =>
          line.post({ kind: "stopped", snapshot })
        );
    }
  };
  line.post({ kind: "hello" });
}

/** What a worker does once it has begun. */
interface Working {
  server: ProxyServer;
  become(states: readonly BackendState[]): void;
  count(): void;
  snapshot(): Snapshot;
  /** All have come as far as this one. */
  goOn(stage: Stage): void;
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
  const goOn = waitTogether(core, post);
  const server = serve(proxy, message.serve);
  return {
    server,
    become: (states) => part.update(core.pool, states),
    count,
    snapshot,
    goOn,
    async stop() {
      await server.stop();
      outcomes.flush();
      lines.flush();
      return snapshot();
    },
  };
}

/** A worker's part of the proxy, whose backends the first process names. */
interface Part extends AsWorker {
  update(pool: Pool, states: readonly BackendState[]): void;
}

function partOf(message: Begin, outcomes: Batch<RemoteOutcome>): Part {
  const table = new Table(mapped(message.table), message.of, message.worker);
  let limited = false;
  const update = (pool: Pool, states: readonly BackendState[]) => {
    limited = states.some(({ maxConns }) => maxConns !== Infinity);
    become(pool, states, (at) => table.place(at));
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
      // What is expected is not worth a message, and what has been judged
      // already is none.
      const { suspect, at } = backend.shared as Place;
      if (backend.ejected || (good && !suspect)) return;
      const agoMs = systemClock.now() - startedAt;
      outcomes.add({ url: backend.url, place: at, good, agoMs, reason });
    },
  };
}

/**
 * Has a worker wait for the others on its way out; the function that is returned
 * says how far all have come.
 */
function waitTogether(
  core: Core,
  post: (message: FromWorker) => void,
): (stage: Stage) => void {
  let goOn = (_stage: Stage) => {};
  core.together = (stage) =>
    new Promise((resolve) => {
      const timer = systemClock.setTimeout(resolve, TOGETHER_MS);
      goOn = (reached) => {
        if (reached !== stage) return;
        systemClock.clear(timer);
        resolve();
      };
      post({ kind: "reached", stage });
    });
  return (stage) => goOn(stage);
}

/**
 * What only this worker has counted. Events of the pool happen in the first
 * process, which tells all workers; requests under way stand in the table.
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
