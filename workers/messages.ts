/**
 * What the first process and its workers say to each other. Plain values only:
 * they cross a thread's or a process's border.
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

/** Where the common counts are: memory of this process, or a file to map. */
export type TableAt = SharedArrayBuffer | string;

/** Where the rate limit's buckets are. */
export interface RatesAt {
  at: TableAt;
  /** When its clock began, in milliseconds since 1970: no two share a clock. */
  epochMs: number;
}

/** What a worker begins with. */
export interface Begin {
  kind: "begin";
  /** Its number, from 0. */
  worker: number;
  /** How many there are. */
  of: number;
  table: TableAt;
  /** The rate limit's buckets, if there is such a limit. */
  rates?: RatesAt | undefined;
  /** Options of the proxy, less its backends and all that is a function. */
  proxy: Omit<ProxyOptions, "backends">;
  /** Options of the server; the admin port is the first process's. */
  serve: ServeOptions;
  /** Name in `Via`: one for all, or a loop through two of them goes unseen. */
  pseudonym: string | undefined;
  /** What clients may show to have their requests explained. */
  token: string | undefined;
  /** Whether figures are wanted. */
  counts: boolean;
  backends: readonly BackendState[];
}

/** One outcome, on its way to be judged. */
export interface RemoteOutcome {
  /** The backend's URL. */
  url: string;
  /** Its place in the table, which is another when it comes back. */
  place: number;
  good: boolean;
  /** Milliseconds since its attempt began: no two processes share a clock. */
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
  /** All have come so far. */
  | { kind: "go"; stage: Stage };

/** From a worker to the first process. */
export type FromWorker =
  | { kind: "hello" }
  | { kind: "listening"; port: number }
  | { kind: "cannot"; reason: string }
  | { kind: "outcomes"; outcomes: readonly RemoteOutcome[] }
  | { kind: "panic"; reason: string }
  | { kind: "snapshot"; id: number; snapshot: Snapshot }
  /** It shows the certificate, or cannot for this reason. */
  | { kind: "certified"; id: number; reason?: string }
  | { kind: "log"; line: string }
  | { kind: "access"; lines: readonly string[] }
  | { kind: "reached"; stage: Stage }
  | { kind: "stopped"; snapshot: Snapshot | undefined };
