/**
 * The workers, as the first process sees to them: it starts them, tells them of
 * every change in the pool, adds up what they count, judges the outcomes that
 * they hear of, replaces those that die and has them drained in the end.
 *
 * It listens for no client itself. So it is never too busy to probe, to answer
 * its operator or to notice a death, and no request suffers from what it does. A
 * request that is handed to it in code is answered, and counts with the others.
 *
 * @module
 */

import type { Backend, Pool, SharedCounts } from "../balancer.ts";
import type { TlsOptions } from "../config/options.ts";
import { atRest, type Snapshot, sum } from "../observe/metrics.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";
import type { Worker } from "../runtime/line.ts";
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

/** Milliseconds before a worker that died is replaced, the first time. */
const FIRST_PAUSE_MS = 100;
/** The longest such pause: each is twice the one before. */
const LONGEST_PAUSE_MS = 30_000;
/** Milliseconds after which a worker's death is the first again. */
const SETTLED_MS = 60_000;
/** Milliseconds that a worker has to say its numbers. */
const PATIENCE_MS = 1_000;
/** Milliseconds between two times that they are asked, while that matters. */
const ASK_MS = 1_000;
/** Milliseconds past its own limits that a worker has to end. */
const LAST_PATIENCE_MS = 3_000;
/** Milliseconds between two looks for counts that a dead worker has left. */
const MEND_MS = 100;
/** Looks that find the same count before it is taken for left. */
const MEND_LOOKS = 4;

/** What a worker begins with, but for what the crew knows itself. */
export type Common = Omit<
  Begin,
  "kind" | "worker" | "of" | "table" | "counts" | "backends"
>;

/** Options for {@linkcode Crew}. */
export interface CrewOptions {
  /** How many. */
  size: number;
  /** The backends; `MAX_SHARED` of them at most. */
  pool: Pool;
  /** What each begins with. */
  common: Common;
  /** Starts one. */
  spawn: () => Worker<FromWorker, ToWorker>;
  /** Memory that all see, and where they find it. */
  table: { at: TableAt; buffer: ArrayBufferLike };
  /** Judges an outcome. */
  outcome: (backend: Backend, told: RemoteOutcome) => void;
  /** Whether a backend's last outcome was a bad one. */
  suspects: (backend: Backend) => boolean;
  /** Takes lines of the access log. */
  access: (line: string) => void;
  /** Time and timers. */
  clock: Clock;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** One worker's place in the crew; a replacement takes it over. */
interface Slot {
  number: number;
  worker: Worker<FromWorker, ToWorker> | undefined;
  /** Whether it listens. */
  listens: boolean;
  startedAt: number;
  pauseMs: number;
  timer: TimerHandle;
  /** What it said last of its numbers. */
  last: Snapshot | undefined;
  /** How far it has come on its way out, while it waits for the others. */
  stage: Stage | undefined;
  /** Settles when it has ended for good. */
  ended: PromiseWithResolvers<void>;
}

/** Messages that say something also when their sender is no more. */
const LATE: ReadonlySet<FromWorker["kind"]> = new Set([
  "outcomes",
  "panic",
  "log",
  "access",
]);

/** Workers, and what they need to be one proxy. */
export class Crew {
  readonly #options: CrewOptions;
  readonly #table: Table;
  readonly #places: Places;
  readonly #placeOf = new Map<Backend, Place>();
  readonly #slots: Slot[];
  readonly #asked = new Map<
    number,
    { slot: Slot; answer: (snapshot: Snapshot | undefined) => void }
  >();
  readonly #certifying: Certifying;
  readonly #ready = Promise.withResolvers<number>();
  /** The port that was taken, and the certificate that came after the first. */
  readonly #since: { port?: number; tls?: TlsOptions } = {};
  #unsubscribe: (() => void) | undefined;
  /** What workers that have ended had counted. */
  #past: Snapshot | undefined;
  #counts = false;
  #timer: TimerHandle;
  #mending: TimerHandle;
  #stopping = false;
  #telling = false;
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
   * Starts all of them and resolves with the port once each listens; rejects
   * when one of them cannot, and when it was stopped before.
   */
  start(): Promise<number> {
    // A server may be stopped while its proxy still waits for the first probes.
    if (this.#stopping) return Promise.reject(new Error("it was stopped"));
    const { pool } = this.#options;
    for (const backend of pool) this.#join(backend);
    this.#unsubscribe = pool.subscribe(({ type, backend }) => {
      if (backend !== undefined && type === "added") this.#join(backend);
      if (backend !== undefined && type === "removed") this.#leave(backend);
      this.#tell();
    });
    for (const slot of this.#slots) this.#spawn(slot);
    return this.#ready.promise;
  }

  /** Where all requests are counted. */
  get all(): SharedCounts {
    return this.#table.all;
  }

  /** From now on they count, and are asked each second. */
  count(): void {
    if (this.#timer !== undefined) return;
    this.#counts = true;
    for (const { worker } of this.#slots) worker?.post({ kind: "count" });
    this.#timer = this.#options.clock.setInterval(
      () => void this.snapshots(),
      ASK_MS,
    );
  }

  /**
   * Has all of them show another certificate to new connections. Rejects with the
   * first reason when one cannot.
   */
  setCertificate(tls: TlsOptions): Promise<void> {
    // Also for those that begin from now on.
    this.#since.tls = tls;
    return this.#certifying.certify(this.#slots, tls);
  }

  /** What they had counted when they were asked last. */
  known(): readonly Snapshot[] {
    const last = this.#slots.map((slot) => slot.last);
    return [...last, this.#past].filter((one) => one !== undefined);
  }

  /** What they have counted, those that are no more included. */
  async snapshots(): Promise<readonly Snapshot[]> {
    const all = await Promise.all(this.#slots.map((slot) => this.#ask(slot)));
    const known = all.filter((one) => one !== undefined);
    return this.#past === undefined ? known : [...known, this.#past];
  }

  /**
   * Has all of them drain, and resolves when they have ended: after `limitMs`
   * at the latest.
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
      timer = clock.setTimeout(resolve, limitMs + LAST_PATIENCE_MS);
    });
    await Promise.race([
      Promise.all(this.#slots.map(({ ended }) => ended.promise)),
      late,
    ]);
    clock.clear(timer);
    this.kill();
  }

  /** Ends all of them at once. */
  kill(): void {
    this.#stopping = true;
    this.#unsubscribe?.();
    this.#options.clock.clear(this.#timer);
    this.#options.clock.clear(this.#mending);
    for (const { worker } of this.#slots) worker?.kill();
  }

  #spawn(slot: Slot): void {
    const { clock, spawn } = this.#options;
    const worker = slot.worker = spawn();
    slot.startedAt = clock.now();
    worker.onMessage = (message) => {
      // What one that has died had sent before may come after its end, when
      // another is in its place: its lines are still lines, its outcomes still
      // outcomes, but what it says of itself is true of no one any more.
      const late = slot.worker !== worker;
      if (!late || LATE.has(message.kind)) this.#heard(slot, message);
    };
    worker.onEnd = (reason) => {
      if (slot.worker === worker) this.#ended(slot, reason);
    };
  }

  #heard(slot: Slot, message: FromWorker): void {
    const { size, common, table, log, access, pool } = this.#options;
    switch (message.kind) {
      case "hello":
        slot.worker?.post({
          ...common,
          kind: "begin",
          worker: slot.number,
          of: size,
          table: table.at,
          counts: this.#counts,
          // A replacement takes the port too.
          serve: { ...common.serve, ...this.#since },
          backends: this.#states(),
        });
        break;
      case "listening":
        this.#since.port ??= message.port;
        slot.listens = true;
        if (this.#slots.every(({ listens }) => listens)) {
          this.#ready.resolve(message.port);
        }
        break;
      case "cannot":
        // At the start that is the program's fault and ends it; later it is a
        // death like any other, since its end follows.
        this.#ready.reject(new Error(message.reason));
        break;
      case "outcomes":
        for (const told of message.outcomes) this.#judge(told);
        break;
      case "panic":
        pool.emit({ type: "panic", reason: message.reason });
        break;
      case "snapshot":
        slot.last = message.snapshot;
        this.#asked.get(message.id)?.answer(message.snapshot);
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
        this.#goOn(message.stage);
        break;
      case "stopped":
        slot.last = message.snapshot ?? slot.last;
        slot.worker?.kill();
        break;
    }
  }

  #judge(told: RemoteOutcome): void {
    const backend = this.#options.pool.get(told.url);
    if (backend === undefined) return;
    // One that has left, and come back under the same URL, starts without a past.
    if (this.#placeOf.get(backend)?.at !== told.place) return;
    this.#options.outcome(backend, told);
    this.judged(backend);
  }

  /** Tells workers whether a backend's last outcome was a bad one. */
  judged(backend: Backend): void {
    const place = this.#placeOf.get(backend);
    if (place === undefined) return;
    const suspect = this.#options.suspects(backend);
    if (place.suspect !== suspect) place.suspect = suspect;
  }

  #ended(slot: Slot, reason: string): void {
    const { clock, log } = this.#options;
    slot.worker = undefined;
    // At once: what it had under way must not count against a limit.
    this.#table.forget(slot.number);
    if (!this.#stopping) this.#repair();
    if (slot.last !== undefined) {
      const past = atRest(slot.last);
      this.#past = this.#past === undefined ? past : sum([this.#past, past]);
      slot.last = undefined;
    }
    for (const { slot: asked, answer } of this.#asked.values()) {
      if (asked === slot) answer(undefined);
    }
    this.#certifying.ended(slot);
    if (this.#stopping) {
      slot.ended.resolve();
      // The others need not wait for it any more.
      for (const { stage } of this.#slots) {
        if (stage !== undefined) this.#goOn(stage);
      }
      return;
    }
    const why = reason === "" ? "it ended" : reason;
    this.#ready.reject(new Error(`a worker has died: ${why}`));
    if (clock.now() - slot.startedAt >= SETTLED_MS) {
      slot.pauseMs = FIRST_PAUSE_MS;
    }
    log(
      `worker ${slot.number + 1} has died (${why}): ` +
        `another takes its place in ${slot.pauseMs} ms`,
    );
    slot.timer = clock.setTimeout(() => this.#spawn(slot), slot.pauseMs);
    slot.pauseMs = Math.min(2 * slot.pauseMs, LONGEST_PAUSE_MS);
  }

  /**
   * Takes out of the common counts what a dead worker has left there: it may have
   * been killed after it had counted for all, and before it had counted for
   * itself. Those that live count all the time, so it is what stays the same.
   */
  #repair(): void {
    const { clock } = this.#options;
    clock.clear(this.#mending);
    const left = this.#table.unowned();
    let looks = 1;
    this.#mending = clock.setInterval(() => {
      const now = this.#table.unowned();
      for (const [at, count] of left) {
        if (now.get(at) !== count) left.delete(at);
      }
      if (left.size > 0 && ++looks < MEND_LOOKS) return;
      clock.clear(this.#mending);
      for (const [at, count] of left) this.#table.disown(at, count);
    }, MEND_MS);
  }

  /** Lets all go on once each of those that are left has come so far. */
  #goOn(stage: Stage): void {
    const left = this.#slots.filter(({ worker }) => worker !== undefined);
    if (!left.every((slot) => slot.stage === stage)) return;
    for (const slot of left) {
      slot.stage = undefined;
      slot.worker!.post({ kind: "go", stage });
    }
  }

  #ask(slot: Slot): Promise<Snapshot | undefined> {
    const { clock } = this.#options;
    const { worker } = slot;
    if (worker === undefined || !slot.listens) {
      return Promise.resolve(slot.last);
    }
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const answer = (snapshot: Snapshot | undefined) => {
        clock.clear(timer);
        this.#asked.delete(id);
        resolve(snapshot);
      };
      // A busy one is believed on what it said before.
      const timer = clock.setTimeout(() => answer(slot.last), PATIENCE_MS);
      this.#asked.set(id, { slot, answer });
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

  /** Tells all of them once, however much has changed at this moment. */
  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
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
