/**
 * Metrics in Prometheus' text format, version 0.0.4.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { plain } from "../base/text.ts";
import type { ProbeReport } from "../health.ts";
import { boundOf, type HistogramSnapshot, type Snapshot } from "./metrics.ts";

/** The media type of the format. */
export const PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Current values other than the counters. */
export interface State {
  /** The backends. */
  backends: Iterable<Backend>;
  /** What is known from a backend's probes. */
  report: (backend: Backend) => ProbeReport | undefined;
  /** Whether the proxy is draining. */
  draining: boolean;
  /** The current server certificate, if there is one. */
  certificate?: { readonly expiresAt: number } | undefined;
  /** Version of this program. */
  version: string;
  /** The process around it. */
  process: ProcessFacts;
}

/** Facts about the process. */
export interface ProcessFacts {
  /** `deno` or `bun`. */
  runtime: string;
  /** Its version. */
  runtimeVersion: string;
  /** Resident memory in bytes. */
  memoryBytes: number;
  /** Seconds of CPU time used. */
  cpuSeconds: number;
  /** Start time, in seconds since 1970. */
  startedSeconds: number;
}

type Labels = Readonly<Record<string, string>>;

/** A backend and its figures. */
interface Row {
  backend: Backend;
  labels: Labels;
  counts: Snapshot["backends"][string] | undefined;
  report: ProbeReport | undefined;
}

/** Writes all metrics. */
export function prometheusText(snapshot: Snapshot, state: State): string {
  const page = new Page();
  const rows = [...state.backends].map((backend) => ({
    backend,
    labels: { backend: backend.label },
    counts: snapshot.backends[backend.id],
    report: state.report(backend),
  }));
  writeRequests(page, snapshot);
  writeAttempts(page, rows);
  writeBackends(page, rows);
  writeProbes(page, rows);
  writeTotals(page, snapshot, state.draining);
  writeProcess(page, state);
  return page.text;
}

/** Requests from the clients' point of view. */
function writeRequests(page: Page, snapshot: Snapshot): void {
  page.head("sluice_requests_total", "counter", "Requests, by status");
  for (const [code, count] of Object.entries(snapshot.requests)) {
    page.value(count, { code });
  }
  page.head(
    "sluice_request_duration_seconds",
    "histogram",
    "Time from a request to the end of its answer, or to its header where the body is not tracked",
  );
  page.histogram(snapshot.duration);
  page.single(
    "sluice_requests_in_flight",
    "gauge",
    "Requests in flight",
    snapshot.inFlight,
  );
}

/** The attempts on each backend. */
function writeAttempts(page: Page, rows: readonly Row[]): void {
  page.head(
    "sluice_backend_requests_total",
    "counter",
    "Attempts that a backend answered, by status",
  );
  for (const { labels, counts } of rows) {
    for (const [code, count] of Object.entries(counts?.answers ?? {})) {
      page.value(count, { ...labels, code });
    }
  }
  page.head(
    "sluice_backend_failures_total",
    "counter",
    "Attempts that a backend did not answer, by error type of RFC 9209",
  );
  for (const { labels, counts } of rows) {
    for (const [error, count] of Object.entries(counts?.failures ?? {})) {
      page.value(count, { ...labels, error });
    }
  }
  page.head(
    "sluice_backend_outcomes_total",
    "counter",
    "Outcomes of attempts on a backend",
  );
  for (const { labels, counts } of rows) {
    const { good, bad } = counts?.outcomes ?? { good: 0, bad: 0 };
    page.value(good, { ...labels, outcome: "good" });
    page.value(bad, { ...labels, outcome: "bad" });
  }
  page.head(
    "sluice_backend_header_seconds",
    "summary",
    "Time from an attempt to its response header",
  );
  for (const { labels, counts } of rows) {
    const answers = Object.values(counts?.answers ?? {});
    page.value((counts?.answerMs ?? 0) / 1000, labels, "_sum");
    page.value(answers.reduce((a, b) => a + b, 0), labels, "_count");
  }
}

/** The state of each backend. */
function writeBackends(page: Page, rows: readonly Row[]): void {
  page.head(
    "sluice_backend_ejections_total",
    "counter",
    "Times that a backend was ejected",
  );
  for (const { labels, counts } of rows) {
    page.value(counts?.ejections ?? 0, labels);
  }
  page.head(
    "sluice_backend_in_flight",
    "gauge",
    "Requests that a backend is answering",
  );
  for (const { labels, counts } of rows) {
    page.value(counts?.inFlight ?? 0, labels);
  }
  writeConnections(page, rows);
  const states: [string, string, (backend: Backend) => number][] = [
    ["up", "1 if its probes pass, else 0", (b) => Number(b.up)],
    [
      "ejected",
      "1 while it is ejected, else 0",
      (b) => Number(b.ejected),
    ],
    [
      "draining",
      "1 while it is draining, else 0",
      (b) => Number(b.draining),
    ],
    ["weight", "Its weight", (b) => b.weight],
  ];
  for (const [name, help, value] of states) {
    page.head(`sluice_backend_${name}`, "gauge", help);
    for (const { backend, labels } of rows) {
      page.value(value(backend), labels);
    }
  }
}

/** The connections to each backend, if Sluice opens them itself. */
function writeConnections(page: Page, rows: readonly Row[]): void {
  const known = rows.filter(({ counts }) => counts?.connections !== undefined);
  if (known.length === 0) return;
  page.head(
    "sluice_backend_connections",
    "gauge",
    "Connections to a backend that Sluice opened itself: busy with a request, or idle",
  );
  for (const { labels, counts } of known) {
    const { busy, idle } = counts!.connections!;
    page.value(busy, { ...labels, state: "busy" });
    page.value(idle, { ...labels, state: "idle" });
  }
}

/** Probes of each backend. */
function writeProbes(page: Page, rows: readonly Row[]): void {
  page.head(
    "sluice_probe_duration_seconds",
    "gauge",
    "Time that the last probe took",
  );
  for (const { labels, report } of rows) {
    if (report?.lastMs !== undefined) page.value(report.lastMs / 1000, labels);
  }
  page.head("sluice_probes_total", "counter", "Probes, by whether they passed");
  for (const { labels, report } of rows) {
    if (report === undefined) continue;
    page.value(report.made - report.failed, { ...labels, result: "passed" });
    page.value(report.failed, { ...labels, result: "failed" });
  }
}

/** A metric without labels. */
type Single = [
  name: string,
  type: "counter" | "gauge",
  help: string,
  value: number,
];

/** Totals over all requests. */
function writeTotals(page: Page, snapshot: Snapshot, draining: boolean): void {
  const singles: Single[] = [
    [
      "sluice_retries_total",
      "counter",
      "Attempts after the first",
      snapshot.retries,
    ],
    [
      "sluice_retry_budget_refusals_total",
      "counter",
      "Retries that the budget refused",
      snapshot.retriesRefused,
    ],
    [
      "sluice_panics_total",
      "counter",
      "Times that only ejected backends were left, and were used",
      snapshot.panics,
    ],
    [
      "sluice_websockets_total",
      "counter",
      "WebSocket connections that were bridged",
      snapshot.webSockets,
    ],
    [
      "sluice_websockets_open",
      "gauge",
      "WebSocket connections that are open",
      snapshot.webSocketsOpen,
    ],
    [
      "sluice_log_lines_lost_total",
      "counter",
      "Access log lines that were dropped",
      snapshot.linesLost,
    ],
    ...limits(snapshot),
    [
      "sluice_draining",
      "gauge",
      "1 while this proxy drains, else 0",
      Number(draining),
    ],
  ];
  for (const [name, type, help, value] of singles) {
    page.single(name, type, help, value);
  }
}

/** Requests refused by limits, and the limit on requests if there is one. */
function limits(snapshot: Snapshot): Single[] {
  const refused: Single[] = [
    [
      "sluice_rate_limited_total",
      "counter",
      "Requests that RATE_LIMIT refused",
      snapshot.rateLimited,
    ],
    [
      "sluice_in_flight_refused_total",
      "counter",
      "Requests that MAX_IN_FLIGHT refused",
      snapshot.refusedFull,
    ],
  ];
  if (snapshot.inFlightLimit === 0) return refused;
  return [
    ...refused,
    [
      "sluice_in_flight_limit",
      "gauge",
      "Concurrent requests that MAX_IN_FLIGHT allows; with auto, those that wait for a header",
      Math.round(snapshot.inFlightLimit),
    ],
    [
      "sluice_requests_waiting",
      "gauge",
      "Requests that wait for a header, as MAX_IN_FLIGHT=auto counts them",
      snapshot.waiting,
    ],
  ];
}

/** The process and its versions. */
function writeProcess(
  page: Page,
  { process, certificate, version }: State,
): void {
  const singles: Single[] = [
    [
      "process_resident_memory_bytes",
      "gauge",
      "Resident memory",
      process.memoryBytes,
    ],
    [
      "process_cpu_seconds_total",
      "counter",
      "User and system CPU time",
      process.cpuSeconds,
    ],
    [
      "process_start_time_seconds",
      "gauge",
      "Start of the process, in seconds since 1970",
      process.startedSeconds,
    ],
  ];
  for (const [name, type, help, value] of singles) {
    page.single(name, type, help, value);
  }
  if (certificate !== undefined) {
    page.single(
      "sluice_certificate_expiry_seconds",
      "gauge",
      "Expiry of the certificate for new connections, in seconds since 1970",
      certificate.expiresAt / 1000,
    );
  }
  page.head("sluice_build_info", "gauge", "Version and runtime; always 1");
  page.value(1, {
    version,
    runtime: process.runtime,
    runtime_version: process.runtimeVersion,
  });
}

/** The text under construction. */
class Page {
  #lines: string[] = [];
  #name = "";

  get text(): string {
    return `${this.#lines.join("\n")}\n`;
  }

  /** Starts a metric. */
  head(name: string, type: string, help: string): void {
    this.#name = name;
    this.#lines.push(`# HELP ${name} ${help}.`, `# TYPE ${name} ${type}`);
  }

  /** Adds a value to the current metric. */
  value(value: number, labels: Labels = {}, suffix = ""): void {
    const inner = Object.entries(labels)
      .map(([name, text]) => `${name}="${escaped(text)}"`).join(",");
    const shown = inner === "" ? "" : `{${inner}}`;
    this.#lines.push(`${this.#name}${suffix}${shown} ${number(value)}`);
  }

  single(name: string, type: string, help: string, value: number): void {
    this.head(name, type, help);
    this.value(value);
  }

  /**
   * Writes every fourth bound, a power of two; the others are for the
   * dashboard.
   */
  histogram({ counts, sum }: HistogramSnapshot): void {
    let seen = 0;
    counts.forEach((count, bucket) => {
      seen += count;
      const bound = boundOf(bucket);
      const shown = bound === Infinity ||
        (Number.isInteger(Math.log2(bound)) && bound >= 0.5 && bound <= 65536);
      if (shown) {
        this.value(seen, { le: number(bound / 1000) }, "_bucket");
      }
    });
    this.value(sum / 1000, {}, "_sum");
    this.value(seen, {}, "_count");
  }
}

function number(value: number): string {
  return value === Infinity ? "+Inf" : String(value);
}

/** Escapes a label value; the format escapes only three characters. */
function escaped(text: string): string {
  return plain(text.toWellFormed()).replace(/["\\]/g, "\\$&");
}
