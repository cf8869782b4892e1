/**
 * The table of metrics in `docs/observability.md`, generated from the `HELP`
 * and `TYPE` lines of `/metrics`.
 *
 * @module
 */

import { Pool } from "../balancer.ts";
import { Metrics } from "../observe/metrics.ts";
import { prometheusText } from "../observe/prometheus.ts";
import { table } from "./table.ts";

/** The table in Markdown. */
export function metricsTable(): string {
  const help = [...page().matchAll(/^# HELP (\S+) (.+)\n# TYPE \S+ (\S+)$/gm)];
  const text = page();
  const rows = help.map(([, name, help, type]) => {
    const line = text.split("\n").find((line) => line.startsWith(`${name}{`));
    const labels = [...line?.matchAll(/(\w+)="/g) ?? []].map(([, label]) =>
      `\`${label}\``
    ).join(", ");
    return [`\`${name}\``, type!, labels, help!.replace(/\.$/, "")];
  });
  return table(["Metric", "Type", "Labels", "Meaning"], rows);
}

/** The page of a proxy that has every metric. */
function page(): string {
  const pool = new Pool(["http://10.0.0.5:3000"]);
  const [backend] = [...pool];
  const metrics = new Metrics(pool, {
    inFlight: () => 0,
    webSocketsOpen: () => 0,
    retriesRefused: () => 0,
    linesLost: () => 0,
    connections: () => ({ busy: 0, idle: 0 }),
    admission: () => ({
      rateLimited: 0,
      refusedFull: 0,
      inFlightLimit: 1,
      waiting: 0,
    }),
  });
  metrics.answered(backend!, 200, 1);
  metrics.failed(backend!, "connection_refused");
  metrics.request(200, 1);
  return prometheusText(metrics.snapshot(), {
    backends: pool,
    report: () => ({
      health: { up: true, streak: 0, known: true },
      lastMs: 1,
      last: { status: 200 },
      made: 1,
      failed: 0,
    }),
    draining: false,
    certificate: { expiresAt: 0 },
    version: "",
    process: {
      runtime: "",
      runtimeVersion: "",
      memoryBytes: 0,
      cpuSeconds: 0,
      startedSeconds: 0,
    },
  });
}
