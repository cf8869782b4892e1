/**
 * A worker: it answers requests, and leaves everything that has to be decided
 * once, for all of them, to the first process.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import { explainer } from "../observe/explain.ts";
import type { Snapshot } from "../observe/metrics.ts";
import { tokenCheck } from "../observe/token.ts";
import { systemClock, type TimerHandle } from "../runtime/clock.ts";
import {
  hushSignalRemark,
  onSignal,
  surviveRejections,
} from "../runtime/process.ts";
import type { Stage } from "../runtime/serve.ts";
import { lineToFirst, mapped } from "../runtime/workers.ts";
import type { Begin, FromWorker, Told, ToWorker } from "../workers/messages.ts";
import { type BackendState, become } from "../workers/replica.ts";
import { type Place, Table } from "../workers/table.ts";
import { assemble, insides, type Proxy } from "./create.ts";
import { serve, type Server } from "./serve.ts";

/** Milliseconds that a worker waits for the others on its way out. */
const TOGETHER_MS = 1_000;

/** Milliseconds that outcomes and lines are gathered for one message. */
const GATHER_MS = 5;

/** Items that are sent together, soon. */
class Gathered<T> {
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
          const reason = error instanceof Error ? error.message : String(error);
          line.post({ kind: "cannot", reason });
          // Whoever cannot work now may be able to later.
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
      case "go":
        working?.goOn(message.stage);
        break;
      case "drain":
        // One that has not begun has nothing to finish. It does not exit by
        // itself: of a thread's exit Deno tells nobody.
        (working?.stop() ?? Promise.resolve(undefined)).then((snapshot) =>
          line.post({ kind: "stopped", snapshot })
        );
    }
  };
  line.post({ kind: "hello" });
}

/** What a worker does once it has begun. */
interface Working {
  server: Server;
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
  const table = new Table(mapped(message.table), message.of, message.worker);
  const place = (at: number) => table.place(at, message.worker);
  const outcomes = new Gathered<Told>((outcomes) =>
    post({ kind: "outcomes", outcomes })
  );
  const lines = new Gathered<string>((lines) =>
    post({ kind: "access", lines })
  );
  let limited = false;
  const fill = (pool: Pool, states: readonly BackendState[]) => {
    limited = states.some(({ maxConns }) => maxConns !== Infinity);
    become(pool, states, place);
  };
  const proxy: Proxy = assemble({
    ...message.proxy,
    backends: [],
    health: false,
    eject: false,
    log,
    logAccess: (line) => lines.add(line),
  }, {
    of: message.of,
    all: table.all,
    rates: message.rates && {
      memory: mapped(message.rates.at),
      offsetMs: performance.timeOrigin - message.rates.epochMs,
    },
    pseudonym: message.pseudonym,
    fill: (pool) => fill(pool, message.backends),
    get limited() {
      return limited;
    },
    outcome(backend: Backend, good, startedAt, reason) {
      // What is expected is not worth a message, and what has been judged
      // already is none.
      if (backend.ejected || (good && !(backend.shared as Place).suspect)) {
        return;
      }
      const agoMs = systemClock.now() - startedAt;
      outcomes.add({ url: backend.url, good, agoMs, reason });
    },
  });
  const inside = insides.get(proxy)!;
  proxy.pool.subscribe(({ type, reason = "" }) => {
    if (type === "panic") post({ kind: "panic", reason });
  });
  const { policy, trusts, forwarder } = inside;
  const { token } = message;
  if (token !== undefined) {
    forwarder.explainer = explainer({
      pool: proxy.pool,
      policy,
      trusts,
      knows: tokenCheck(token),
    });
  }
  const count = () => void inside.observe();
  if (message.counts) count();
  const snapshot = () => ownPart(inside.observe().metrics.snapshot());
  let goOn = (_stage: Stage) => {};
  inside.together = (stage) =>
    new Promise((resolve) => {
      const timer = systemClock.setTimeout(resolve, TOGETHER_MS);
      goOn = (reached) => {
        if (reached !== stage) return;
        systemClock.clear(timer);
        resolve();
      };
      post({ kind: "reached", stage });
    });
  const server = serve(proxy, message.serve);
  return {
    server,
    become: (states) => fill(proxy.pool, states),
    count,
    snapshot,
    goOn: (stage) => goOn(stage),
    async stop() {
      await server.stop();
      outcomes.flush();
      lines.flush();
      return snapshot();
    },
  };
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
