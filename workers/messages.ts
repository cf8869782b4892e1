/**
 * The messages between the first process and its workers. Plain values only,
 * since they cross threads or processes.
 *
 * @module
 */

import type {
  ProxyOptions,
  ServeOptions,
  TlsOptions,
} from "../config/options.ts";
import type { Snapshot } from "../observe/metrics.ts";
import type { Stage } from "../runtime/serve.ts";
import type { BackendState } from "./replica.ts";

/** The shared counts: memory of this process, or the path of a file to map. */
export type TableAt = SharedArrayBuffer | string;

/** The buckets of the rate limit. */
export interface RatesAt {
  at: TableAt;
  /** Start of its clock in milliseconds since 1970: clocks are not shared. */
  epochMs: number;
}

/** What a worker starts with. */
export interface Begin {
  kind: "begin";
  /** Its number, from 0. */
  worker: number;
  /** Number of workers. */
  of: number;
  table: TableAt;
  /** The buckets of the rate limit, if there is one. */
  rates?: RatesAt | undefined;
  /** Options of the proxy, without its backends and all functions. */
  proxy: Omit<ProxyOptions, "backends">;
  /** Options of the server; the first process serves the admin port. */
  serve: ServeOptions;
  /** Name in `Via`; one for all workers, or a loop through two is missed. */
  pseudonym: string | undefined;
  /** Token with which clients may have their requests explained. */
  token: string | undefined;
  /** Whether to keep figures. */
  counts: boolean;
  backends: readonly BackendState[];
}

/** An outcome that the first process judges. */
export interface RemoteOutcome {
  /** The backend's URL. */
  url: string;
  /** Its place in the table; a new one if the backend was added again. */
  place: number;
  good: boolean;
  /** Milliseconds since its attempt began: clocks are not shared. */
  agoMs: number;
  reason: string;
}

/** From the first process to a worker. */
export type ToWorker =
  | Begin
  | { kind: "backends"; backends: readonly BackendState[] }
  | { kind: "count" }
  | { kind: "snapshot"; id: number }
  | { kind: "certificate"; id: number; tls: TlsOptions }
  | { kind: "drain" }
  /** All workers have reached the stage. */
  | { kind: "go"; stage: Stage };

/** From a worker to the first process. */
export type FromWorker =
  | { kind: "hello" }
  | { kind: "listening"; port: number }
  | { kind: "cannot"; reason: string }
  | { kind: "outcomes"; outcomes: readonly RemoteOutcome[] }
  | { kind: "panic"; reason: string }
  | { kind: "snapshot"; id: number; snapshot: Snapshot }
  /** Confirms the certificate, or gives the reason why it cannot be used. */
  | { kind: "certified"; id: number; reason?: string }
  | { kind: "log"; line: string }
  | { kind: "access"; lines: readonly string[] }
  | { kind: "reached"; stage: Stage }
  | { kind: "stopped"; snapshot: Snapshot | undefined };
