import assert from "node:assert/strict"; // built in to both runtimes
import { Pool } from "../balancer.ts";
import { Metrics } from "./metrics.ts";
import { prometheusText } from "./prometheus.ts";

const HOSTILE = '"} 1\nforged{a="b"} \\ \x1b[31m\u2028 <b>%s';

function page(
  url: string,
  certificate?: Parameters<typeof prometheusText>[1]["certificate"],
): string {
  const pool = new Pool([{ url, weight: 3 }]);
  const [backend] = [...pool];
  const metrics = new Metrics(pool, {
    inFlight: () => 2,
    webSocketsOpen: () => 0,
    retriesRefused: () => 0,
    linesLost: () => 4,
    admission: () => ({
      rateLimited: 7,
      refusedFull: 8,
      inFlightLimit: 120,
      waiting: 9,
    }),
    connections: () => ({ busy: 5, idle: 6 }),
  });
  metrics.answered(backend!, 200, 3);
  metrics.failed(backend!, "connection_refused");
  metrics.request(200, 3);
  metrics.request(503, 40_000);
  backend!.up = false;
  return prometheusText(metrics.snapshot(), {
    backends: pool,
    report: () => ({
      health: { up: false, streak: 0, known: true },
      lastMs: 12,
      last: { status: 500 },
      made: 5,
      failed: 2,
    }),
    draining: false,
    certificate,
    version: "1.2.3",
    process: {
      runtime: "deno",
      runtimeVersion: "9",
      memoryBytes: 1,
      cpuSeconds: 2,
      startedSeconds: 3,
    },
  });
}

Deno.test("prometheusText() says when the certificate expires, if there is one", () => {
  const name = "sluice_certificate_expiry_seconds";
  assert.ok(!page("http://a.test:1").includes(name));
  const expiresAt = Date.parse("2027-02-25T00:00:00Z");
  const text = page("http://a.test:1", { expiresAt });
  assert.ok(text.split("\n").includes(`${name} ${expiresAt / 1000}`));
});

Deno.test("prometheusText() has all counters and states", () => {
  const text = page("http://a.test:1");
  const backend = 'backend="http://a.test:1"';
  for (
    const line of [
      'sluice_requests_total{code="200"} 1',
      'sluice_requests_total{code="503"} 1',
      'sluice_request_duration_seconds_bucket{le="0.002"} 0',
      'sluice_request_duration_seconds_bucket{le="0.004"} 1',
      'sluice_request_duration_seconds_bucket{le="32.768"} 1',
      'sluice_request_duration_seconds_bucket{le="65.536"} 2',
      'sluice_request_duration_seconds_bucket{le="+Inf"} 2',
      "sluice_request_duration_seconds_sum 40.003",
      "sluice_request_duration_seconds_count 2",
      "sluice_requests_in_flight 2",
      `sluice_backend_requests_total{${backend},code="200"} 1`,
      `sluice_backend_failures_total{${backend},error="connection_refused"} 1`,
      `sluice_backend_header_seconds_sum{${backend}} 0.003`,
      `sluice_backend_up{${backend}} 0`,
      `sluice_backend_ejected{${backend}} 0`,
      `sluice_backend_weight{${backend}} 3`,
      `sluice_backend_connections{${backend},state="busy"} 5`,
      `sluice_backend_connections{${backend},state="idle"} 6`,
      `sluice_probe_duration_seconds{${backend}} 0.012`,
      `sluice_probes_total{${backend},result="failed"} 2`,
      "sluice_log_lines_lost_total 4",
      "sluice_rate_limited_total 7",
      "sluice_in_flight_refused_total 8",
      "sluice_in_flight_limit 120",
      "sluice_requests_waiting 9",
      'sluice_build_info{version="1.2.3",runtime="deno",runtime_version="9"} 1',
    ]
  ) assert.ok(text.split("\n").includes(line), `${line}\nis not in\n${text}`);
});

Deno.test("prometheusText() is valid for any name of a backend", () => {
  const text = page(HOSTILE);
  // The format's own grammar, so that nothing in it can be forged.
  const form =
    /^(?:# (?:HELP|TYPE) [a-z_]+ .+|[a-z_]+(?:\{[a-z_]+="(?:[^"\\]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\]|\\["\\n])*")*\})? (?:[\d.e+-]+|\+Inf))$/;
  for (const line of text.trimEnd().split("\n")) assert.match(line, form);
  // deno-lint-ignore no-control-regex -- they are what is looked for
  assert.doesNotMatch(text, /[\x00-\x09\x0b-\x1f\u2028]/);
});
