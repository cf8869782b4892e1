/**
 * The workers, as the first process manages them: it starts them, sends them
 * each change of the pool, adds up their counts, judges the outcomes that they
 * report, replaces those that die, and drains them at the end.
 *
 * The first process does not listen for clients. So it is never too busy to
 * probe, to answer the operator or to notice a death, and no request waits for
 * that work. A request passed to it in code is answered, and counts as well.
 *
 * @module
 */

import type { Backend, Pool, SharedCounts } from "../balancer.ts";
import type { TlsOptions } from "../config/options.ts";
import { atRest, type Snapshot, sum } from "../observe/metrics.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";
import type { Worker } from "../runtime/channel.ts";
import type { Stage } from "../runtime/serve.ts";
import { Certifying } from "./certifying.ts";
import type {
  Begin,
  FromWorker,
  RemoteOutcome,
  TableAt,
  ToWorker,
} from "./messages.ts";
import { stateOf } from "./replica.ts";
import { type Place, Places, Table } from "./table.ts";

/** Milliseconds before the first replacement of a dead worker. */
const FIRST_PAUSE_MS = 100;
/** The longest such pause: each is twice the one before. */
const MAX_PAUSE_MS = 30_000;
/** Lifetime in milliseconds after which the pause starts over. */
const STABLE_MS = 60_000;
/** Milliseconds for a worker to answer with its snapshot. */
const SNAPSHOT_TIMEOUT_MS = 1_000;
/** Milliseconds between two rounds of snapshots, while they are needed. */
const SNAPSHOT_MS = 1_000;
/** Milliseconds beyond its own limits for a worker to end. */
const STOP_GRACE_MS = 3_000;
/** Milliseconds between two checks for counts that a dead worker has left. */
const REPAIR_MS = 100;
/** Checks that must find the same count before it is removed. */
const REPAIR_CHECKS = 4;

/** The first message to a worker, without what the crew itself adds. */
export type Common = Omit<
  Begin,
  "kind" | "worker" | "of" | "table" | "counts" | "backends"
>;

/** Options for {@linkcode Crew}. */
export interface CrewOptions {
  /** Number of workers. */
  size: number;
  /** The backends; at most `MAX_SHARED` of them. */
  pool: Pool;
  /** What each worker starts with. */
  common: Common;
  /** Starts a worker. */
  spawn: () => Worker<FromWorker, ToWorker>;
  /** The shared table, and where workers find it. */
  table: { at: TableAt; buffer: ArrayBufferLike };
  /** Judges an outcome. */
  outcome: (backend: Backend, outcome: RemoteOutcome) => void;
  /** Whether a backend's last outcome was bad. */
  suspects: (backend: Backend) => boolean;
  /** Takes lines of the access log. */
  access: (line: string) => void;
  /** Time and timers. */
  clock: Clock;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** One worker's place in the crew; a replacement takes the same place. */
interface Slot {
  number: number;
  worker: Worker<FromWorker, ToWorker> | undefined;
  /** Whether it listens. */
  listens: boolean;
  startedAt: number;
  pauseMs: number;
  timer: TimerHandle;
  /** Its last snapshot. */
  last: Snapshot | undefined;
  /** The stage of its shutdown at which it waits for the others. */
  stage: Stage | undefined;
  /** Resolves when it has ended for good. */
  ended: PromiseWithResolvers<void>;
}

/** Messages that are still valid when their sender has died. */
const LATE: ReadonlySet<FromWorker["kind"]> = new Set([
  "outcomes",
  "panic",
  "log",
  "access",
]);

/** Workers that act as one proxy. */
export class Crew {
  readonly #options: CrewOptions;
  readonly #table: Table;
  readonly #places: Places;
  readonly #placeOf = new Map<Backend, Place>();
  readonly #slots: Slot[];
  readonly #waiting = new Map<
    number,
    { slot: Slot; answer: (snapshot: Snapshot | undefined) => void }
  >();
  readonly #certifying: Certifying;
  readonly #ready = Promise.withResolvers<number>();
  /** The port taken, and the latest certificate. */
  readonly #latest: { port?: number; tls?: TlsOptions } = {};
  #unsubscribe: (() => void) | undefined;
  /** Sum of the snapshots of workers that have ended. */
  #past: Snapshot | undefined;
  /** Set while the workers keep figures. */
  #timer: TimerHandle;
  #repairTimer: TimerHandle;
  #stopping = false;
  #sendPending = false;
  #nextId = 0;

  /** Makes a crew that does nothing until {@linkcode start}. */
  constructor(options: CrewOptions) {
    this.#options = options;
    this.#certifying = new Certifying(options.clock);
    this.#table = new Table(options.table.buffer, options.size);
    this.#places = new Places((at) => this.#table.clear(at));
    this.#slots = Array.from({ length: options.size }, (_, number) => ({
      number,
      worker: undefined,
      listens: false,
      startedAt: 0,
      pauseMs: FIRST_PAUSE_MS,
      timer: undefined,
      last: undefined,
      stage: undefined,
      ended: Promise.withResolvers(),
    }));
  }

  /**
   * Starts all workers. Resolves with the port once each listens; rejects if
   * one cannot, or after `stop()`.
   */
  start(): Promise<number> {
    // A server may be stopped while its proxy still waits for the first probes.
    if (this.#stopping) return Promise.reject(new Error("it was stopped"));
    const { pool } = this.#options;
    for (const backend of pool) this.#join(backend);
    this.#unsubscribe = pool.subscribe(({ type, backend }) => {
      if (backend !== undefined && type === "added") this.#join(backend);
      if (backend !== undefined && type === "removed") this.#leave(backend);
      this.#sendStates();
    });
    for (const slot of this.#slots) this.#spawn(slot);
    return this.#ready.promise;
  }

  /** The counts of all requests. */
  get all(): SharedCounts {
    return this.#table.all;
  }

  /** Makes the workers keep figures, and requests these every second. */
  count(): void {
    if (this.#timer !== undefined) return;
    for (const { worker } of this.#slots) worker?.post({ kind: "count" });
    this.#timer = this.#options.clock.setInterval(
      () => void this.snapshots(),
      SNAPSHOT_MS,
    );
  }

  /** Uses another certificate for new connections; rejects if one cannot. */
  setCertificate(tls: TlsOptions): Promise<void> {
    // For replacements as well.
    this.#latest.tls = tls;
    return this.#certifying.certify(this.#slots, tls);
  }

  /** The latest snapshots, without requesting new ones. */
  latest(): readonly Snapshot[] {
    const last = this.#slots.map((slot) => slot.last);
    return [...last, this.#past].filter((one) => one !== undefined);
  }

  /**
   * Requests a snapshot of each worker; adds those of workers that have ended.
   */
  async snapshots(): Promise<readonly Snapshot[]> {
    const all = await Promise.all(
      this.#slots.map((slot) => this.#requestSnapshot(slot)),
    );
    const known = all.filter((one) => one !== undefined);
    return this.#past === undefined ? known : [...known, this.#past];
  }

  /**
   * Drains all workers. Resolves when they have ended, after `limitMs` and a
   * grace period at the latest.
   */
  async stop(limitMs: number): Promise<void> {
    const { clock } = this.#options;
    this.#stopping = true;
    for (const slot of this.#slots) {
      clock.clear(slot.timer);
      if (slot.worker === undefined) slot.ended.resolve();
      else slot.worker.post({ kind: "drain" });
    }
    let timer: TimerHandle;
    const late = new Promise<void>((resolve) => {
      timer = clock.setTimeout(resolve, limitMs + STOP_GRACE_MS);
    });
    await Promise.race([
      Promise.all(this.#slots.map(({ ended }) => ended.promise)),
      late,
    ]);
    clock.clear(timer);
    this.kill();
  }

  /** Kills all workers. */
  kill(): void {
    this.#stopping = true;
    this.#unsubscribe?.();
    this.#options.clock.clear(this.#timer);
    this.#options.clock.clear(this.#repairTimer);
    for (const { worker } of this.#slots) worker?.kill();
  }

  #spawn(slot: Slot): void {
    const { clock, spawn } = this.#options;
    const worker = slot.worker = spawn();
    slot.startedAt = clock.now();
    worker.onMessage = (message) => {
      // Messages of a dead worker may arrive after its replacement has started.
      // Its log lines and outcomes still count; what it says about itself does
      // not.
      const late = slot.worker !== worker;
      if (!late || LATE.has(message.kind)) this.#receive(slot, message);
    };
    worker.onEnd = (reason) => {
      if (slot.worker === worker) this.#ended(slot, reason);
    };
  }

  #receive(slot: Slot, message: FromWorker): void {
    const { size, common, table, log, access, pool } = this.#options;
    switch (message.kind) {
      case "hello":
        slot.worker?.post({
          ...common,
          kind: "begin",
          worker: slot.number,
          of: size,
          table: table.at,
          counts: this.#timer !== undefined,
          // A replacement must use the port that was taken.
          serve: { ...common.serve, ...this.#latest },
          backends: this.#states(),
        });
        break;
      case "listening":
        this.#latest.port ??= message.port;
        slot.listens = true;
        if (this.#slots.every(({ listens }) => listens)) {
          this.#ready.resolve(message.port);
        }
        break;
      case "cannot":
        // At start this ends the program. Later it is a death like any other:
        // the worker ends next.
        this.#ready.reject(new Error(message.reason));
        break;
      case "outcomes":
        for (const outcome of message.outcomes) this.#judge(outcome);
        break;
      case "panic":
        pool.emit({ type: "panic", reason: message.reason });
        break;
      case "snapshot":
        slot.last = message.snapshot;
        this.#waiting.get(message.id)?.answer(message.snapshot);
        break;
      case "certified":
        this.#certifying.certified(message.id, message.reason);
        break;
      case "log":
        log(message.line);
        break;
      case "access":
        for (const line of message.lines) access(line);
        break;
      case "reached":
        slot.stage = message.stage;
        this.#advance(message.stage);
        break;
      case "stopped":
        slot.last = message.snapshot ?? slot.last;
        slot.worker?.kill();
        break;
    }
  }

  #judge(outcome: RemoteOutcome): void {
    const backend = this.#options.pool.get(outcome.url);
    if (backend === undefined) return;
    // A backend that was removed and added again starts without a past.
    if (this.#placeOf.get(backend)?.at !== outcome.place) return;
    this.#options.outcome(backend, outcome);
    this.judged(backend);
  }

  /** Notifies the workers whether a backend's last outcome was bad. */
  judged(backend: Backend): void {
    const place = this.#placeOf.get(backend);
    if (place === undefined) return;
    const suspect = this.#options.suspects(backend);
    if (place.suspect !== suspect) place.suspect = suspect;
  }

  #ended(slot: Slot, reason: string): void {
    const { clock, log } = this.#options;
    slot.worker = undefined;
    slot.listens = false;
    // At once: its requests in flight must not count against a limit.
    this.#table.forget(slot.number);
    if (!this.#stopping) this.#repair();
    if (slot.last !== undefined) {
      const past = atRest(slot.last);
      this.#past = this.#past === undefined ? past : sum([this.#past, past]);
      slot.last = undefined;
    }
    for (const { slot: waiting, answer } of this.#waiting.values()) {
      if (waiting === slot) answer(undefined);
    }
    this.#certifying.ended(slot);
    if (this.#stopping) {
      slot.ended.resolve();
      // The others must not wait for it.
      for (const { stage } of this.#slots) {
        if (stage !== undefined) this.#advance(stage);
      }
      return;
    }
    const why = reason === "" ? "it ended" : reason;
    this.#ready.reject(new Error(`a worker has died: ${why}`));
    if (clock.now() - slot.startedAt >= STABLE_MS) {
      slot.pauseMs = FIRST_PAUSE_MS;
    }
    log(
      `worker ${slot.number + 1} has died (${why}): ` +
        `a new one starts in ${slot.pauseMs} ms`,
    );
    slot.timer = clock.setTimeout(() => this.#spawn(slot), slot.pauseMs);
    slot.pauseMs = Math.min(2 * slot.pauseMs, MAX_PAUSE_MS);
  }

  /**
   * Removes counts that a dead worker left in the sums: it may have been killed
   * between counting a request in the sums and in its own part. The counts of
   * living workers change all the time, so a difference that stays is such a
   * count.
   */
  #repair(): void {
    const { clock } = this.#options;
    clock.clear(this.#repairTimer);
    const left = this.#table.unowned();
    let checks = 1;
    this.#repairTimer = clock.setInterval(() => {
      const now = this.#table.unowned();
      for (const [at, count] of left) {
        if (now.get(at) !== count) left.delete(at);
      }
      if (left.size > 0 && ++checks < REPAIR_CHECKS) return;
      clock.clear(this.#repairTimer);
      for (const [at, count] of left) this.#table.disown(at, count);
    }, REPAIR_MS);
  }

  /** Lets all workers proceed once each living one has reached the stage. */
  #advance(stage: Stage): void {
    const left = this.#slots.filter(({ worker }) => worker !== undefined);
    if (!left.every((slot) => slot.stage === stage)) return;
    for (const slot of left) {
      slot.stage = undefined;
      slot.worker!.post({ kind: "go", stage });
    }
  }

  #requestSnapshot(slot: Slot): Promise<Snapshot | undefined> {
    const { clock } = this.#options;
    const { worker } = slot;
    if (worker === undefined || !slot.listens) {
      return Promise.resolve(slot.last);
    }
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const answer = (snapshot: Snapshot | undefined) => {
        clock.clear(timer);
        this.#waiting.delete(id);
        resolve(snapshot);
      };
      // For a worker that is too busy to answer, use its last snapshot.
      const timer = clock.setTimeout(
        () => answer(slot.last),
        SNAPSHOT_TIMEOUT_MS,
      );
      this.#waiting.set(id, { slot, answer });
      worker.post({ kind: "snapshot", id });
    });
  }

  #join(backend: Backend): void {
    const place = this.#table.place(this.#places.take());
    this.#placeOf.set(backend, place);
    backend.countWith(place);
  }

  #leave(backend: Backend): void {
    const place = this.#placeOf.get(backend);
    this.#placeOf.delete(backend);
    if (place !== undefined) this.#places.give(place.at);
  }

  /** Sends the pool to all workers, once for all changes of this moment. */
  #sendStates(): void {
    if (this.#sendPending) return;
    this.#sendPending = true;
    queueMicrotask(() => {
      this.#sendPending = false;
      const backends = this.#states();
      for (const { worker } of this.#slots) {
        worker?.post({ kind: "backends", backends });
      }
    });
  }

  #states(): ReturnType<typeof stateOf>[] {
    return this.#options.pool.backends.flatMap((backend) => {
      const place = this.#placeOf.get(backend);
      return place === undefined ? [] : [stateOf(backend, place.at)];
    });
  }
}
