/**
 * The one table of settings. The parser, `--help`, the tables in the documents,
 * and the defaults and bounds of the library's options all come from it.
 *
 * Each default is written here only, as text: `option.ts` parses it with the
 * row's grammar. An unset setting is an absent option.
 *
 * @module
 */

import { HIDDEN, masked, oneLine, withoutQuery } from "./fault.ts";
import {
  addressList,
  anything,
  authority,
  duration,
  file,
  host,
  hosts,
  integer,
  oneOf,
  onOff,
  orOff,
  orWord,
  path,
  policy,
  port,
  rate,
  secret,
  share,
  size,
  statusList,
} from "./grammar.ts";
import type { Grammar } from "./grammar.ts";
import type {
  OptionPath,
  SettingName,
  SettingValues,
} from "./setting_values.ts";

export type {
  OptionPath,
  SettingName,
  SettingValues,
} from "./setting_values.ts";

/** One row of the table. */
export interface Setting<T = unknown> {
  /** Parses its text, and describes the accepted values. */
  readonly grammar: Grammar<T>;
  /** The default as text; empty for none. */
  readonly default: string;
  /**
   * The option that it sets, as a path: `proxy.…` for the proxy, `serve.…` for
   * the server.
   */
  readonly field: OptionPath;
  /** The group of options that `off` disables. Default: `field` alone. */
  readonly offField?: OptionPath;
  /** Its meaning, in one line of Markdown. */
  readonly help: string;
  /** Hides secrets in its text for messages. Default: shows all. */
  readonly shown?: (text: string) => string;
}

/** The settings in display order. */
export const SETTINGS: {
  readonly [Name in SettingName]: Setting<SettingValues[Name]>;
} = {
  BACKENDS: {
    grammar: anything("a list"),
    default: "",
    field: "proxy.backends",
    help:
      "The backends, separated by commas or newlines. Each is a URL (`http:`, `https:` or `unix:/path.sock`; a base path is kept), then after spaces `weight=3` (0 to 1000; 0 gets no requests), `backup`, `max_conns=100`, `resolve`, `name=web-1` (for logs, metrics and the dashboard)",
  },
  BACKENDS_FILE: {
    grammar: file,
    default: "",
    field: "proxy.backends",
    help:
      "Instead of `BACKENDS`: a file with the same list, and `#` comments; read again when it changes and on SIGHUP",
  },
  BACKEND_CA: {
    grammar: file,
    default: "",
    field: "proxy.backendTls.ca",
    help: "PEM: a private authority for `https:` backends",
  },
  BACKEND_CERT: {
    grammar: file,
    default: "",
    field: "proxy.backendTls.cert",
    help: "PEM: a client certificate for `https:` backends",
  },
  BACKEND_KEY: {
    grammar: file,
    default: "",
    field: "proxy.backendTls.key",
    help: "PEM: its private key",
  },
  TRANSPORT: {
    grammar: oneOf("auto", "fetch", "socket"),
    default: "auto",
    field: "proxy.transport",
    help:
      "How requests are sent: by the runtime's `fetch`, over `socket`s by Sluice's own HTTP/1.1 client, or `auto`: by `fetch` unless that would change or could lose the request",
  },
  PORT: {
    grammar: port,
    default: "8080",
    field: "serve.port",
    help:
      "The port to listen on; 0 takes a free one, which the first line names",
  },
  HOST: {
    grammar: host,
    default: "0.0.0.0",
    field: "serve.host",
    help: "The address to listen on",
  },
  TLS_CERT: {
    grammar: file,
    default: "",
    field: "serve.tls.cert",
    help:
      "PEM: the certificate and its chain, to serve HTTPS; certificate and key are read again when they change and on SIGHUP",
  },
  TLS_KEY: {
    grammar: file,
    default: "",
    field: "serve.tls.key",
    help: "PEM: its private key",
  },
  REDIRECT_PORT: {
    grammar: orOff(port),
    default: "off",
    field: "serve.redirectPort",
    help:
      "A second port that redirects (308) to the same URL with `https:`; only with TLS",
  },
  WORKERS: {
    grammar: orWord("auto", "auto", integer(1, 256)),
    default: "1",
    field: "serve.workers",
    help:
      "Workers that share the port, with one set of probes; `auto`: one per processor",
  },
  POLICY: {
    grammar: policy,
    default: "round_robin",
    field: "proxy.policy",
    help:
      "How a backend is picked. `uri_hash` hashes the path without the query. A request without the named header or cookie is left to round robin",
  },
  HEALTH_PATH: {
    // Some backends require a key for probes, in the query.
    shown: withoutQuery,
    grammar: orOff(path),
    default: "/health",
    field: "proxy.health.path",
    offField: "proxy.health",
    help:
      "The path that probes request, after the backend's base path; `off` for no probes",
  },
  HEALTH_HOST: {
    grammar: authority,
    default: "",
    field: "proxy.health.host",
    help:
      "The `Host` that probes send, for backends that check it; by default the backend's own",
  },
  HEALTH_STATUS: {
    grammar: statusList,
    default: "200-399",
    field: "proxy.health.status",
    help:
      "The statuses that pass; while `HEALTH_PATH` is unset every status under 500 counts as up",
  },
  HEALTH_INTERVAL: {
    grammar: duration("10ms", "24h"),
    default: "5s",
    field: "proxy.health.intervalMs",
    help: "Time between two probes of a backend, ±15 %",
  },
  HEALTH_TIMEOUT: {
    grammar: duration("1ms", "24h"),
    default: "2s",
    field: "proxy.health.timeoutMs",
    help: "Time limit of a probe; less than the interval",
  },
  HEALTH_RISE: {
    grammar: integer(1, 100),
    default: "2",
    field: "proxy.health.rise",
    help:
      "Passes in a row that bring a backend up; the first probe of all decides alone",
  },
  HEALTH_FALL: {
    grammar: integer(1, 100),
    default: "3",
    field: "proxy.health.fall",
    help: "Failures in a row that take a backend down",
  },
  EJECT_AFTER: {
    grammar: orOff(integer(1, 1000)),
    default: "3",
    field: "proxy.eject.after",
    offField: "proxy.eject",
    help:
      "Bad outcomes in a row that eject a backend: no connection, reset, timeout, a truncated body, 502, 503, 504",
  },
  EJECT_TIME: {
    grammar: duration("1ms", "5m"),
    default: "10s",
    field: "proxy.eject.timeMs",
    help:
      "Duration of the first ejection; doubles each time, up to 5 m. At most half of the pool is ejected, and never the last backend",
  },
  SLOW_START: {
    grammar: orOff(duration("1ms", "1h")),
    default: "off",
    field: "proxy.slowStartMs",
    help:
      "Time in which a backend that comes back reaches its full share, from 10 %",
  },
  RETRIES: {
    // 0 is a number as usual; `off` is what the other settings accept.
    grammar: orWord("off", 0, integer(0, 10)),
    default: "2",
    field: "proxy.retries",
    help:
      "Attempts after the first, each on a backend not tried yet; a backend's own 502, 503 or 504 is passed on",
  },
  RETRY_BUDGET: {
    grammar: share,
    default: "20%",
    field: "proxy.retryBudget",
    help:
      "Retries as a share of the requests of the last 10 s, and 100 more in the same 10 s",
  },
  CONNECT_TIMEOUT: {
    grammar: duration("1ms", "1h"),
    default: "3s",
    field: "proxy.connectTimeoutMs",
    help:
      "Time to connect to a backend, TLS handshake included, for each connection that Sluice opens itself",
  },
  TIMEOUT: {
    grammar: duration("1ms", "24h"),
    default: "60s",
    field: "proxy.timeoutMs",
    help:
      "Time from the last byte sent to a backend to its response header; then 504",
  },
  CLIENT_TIMEOUT: {
    grammar: orOff(duration("1ms", "24h")),
    default: "60s",
    field: "proxy.clientTimeoutMs",
    help:
      "Time for a client to send the next piece of a body (then 408), or to take the next piece of an answer (then it is cut)",
  },
  IDLE_TIMEOUT: {
    grammar: orOff(duration("1ms", "24h")),
    default: "off",
    field: "proxy.idleTimeoutMs",
    help: "Time for a backend to send the next piece of a body that has begun",
  },
  RESUME: {
    grammar: onOff,
    default: "off",
    field: "proxy.resume",
    help:
      "Continue a broken download or event stream from another backend, where that is provably the same",
  },
  MAX_BODY: {
    grammar: orOff(size("1B", "1024GB")),
    default: "off",
    field: "proxy.maxBodyBytes",
    help: "Largest request body; above it, 413",
  },
  MAX_MESSAGE: {
    grammar: size("1KB", "64MB"),
    default: "16MB",
    field: "proxy.maxMessageBytes",
    help:
      "Largest WebSocket message, in both directions; a larger one closes the connection with 1009",
  },
  MAX_IN_FLIGHT: {
    grammar: orOff(orWord("auto", "auto", integer(1, 1_000_000))),
    default: "off",
    field: "proxy.maxInFlight",
    help:
      "Maximum concurrent requests, or `auto`, which learns it from latencies; above it, or when every backend has reached `max_conns`, 503 with `Retry-After`",
  },
  RATE_LIMIT: {
    grammar: orOff(rate),
    default: "off",
    field: "proxy.rateLimit",
    help:
      "Requests per client address and second, minute or hour, with a burst of as many; above it, 429 with `Retry-After`",
  },
  HOST_HEADER: {
    grammar: oneOf("auto", "preserve", "backend"),
    default: "auto",
    field: "proxy.hostHeader",
    help:
      "The `Host` that backends get: the client's (`preserve`), their own (`backend`), or the client's for `http:` and their own for `https:` (`auto`)",
  },
  TRUSTED_PROXIES: {
    grammar: addressList,
    default: "",
    field: "proxy.trustedProxies",
    help:
      "Proxies in front, whose `X-Forwarded-*` and `Forwarded` fields are believed and appended to",
  },
  VIA: {
    grammar: onOff,
    default: "on",
    field: "proxy.via",
    help: "Send `Via`, and answer 508 to a request that loops",
  },
  REQUEST_ID: {
    grammar: onOff,
    default: "off",
    field: "proxy.requestId",
    help:
      "Keep an `X-Request-Id` of 8 to 128 token characters, or make one; it is on the request, the response and the log line",
  },
  TRACE: {
    grammar: onOff,
    default: "off",
    field: "proxy.trace",
    help:
      "Make a `traceparent`, or keep the trace id of one that is there; each attempt has its own span id",
  },
  ACCESS_LOG: {
    grammar: orOff(oneOf("json", "combined")),
    default: "off",
    field: "proxy.accessLog",
    help: "The access log: one line per request on standard output",
  },
  LOG_QUERY: {
    grammar: onOff,
    default: "on",
    field: "proxy.logQuery",
    help: "`off` leaves the query out of log lines",
  },
  ADMIN_PORT: {
    grammar: orOff(port),
    default: "off",
    field: "serve.admin.port",
    offField: "serve.admin",
    help: "Port of the dashboard, the metrics and the admin API",
  },
  ADMIN_HOST: {
    grammar: hosts,
    default: "127.0.0.1",
    field: "serve.admin.host",
    help:
      "The address of the admin port, then further names that it answers to: `0.0.0.0,sluice.internal`",
  },
  ADMIN_TOKEN: {
    shown: () => HIDDEN,
    grammar: secret,
    default: "",
    field: "serve.admin.token",
    help:
      "The token that changes by the admin API need, as `Authorization: Bearer`; without it no changes are possible",
  },
  DRAIN_DELAY: {
    grammar: duration("0s", "1h"),
    default: "0s",
    field: "serve.drainDelayMs",
    help: "On SIGTERM or SIGINT: time from not ready until it stops listening",
  },
  DRAIN_TIMEOUT: {
    grammar: duration("0s", "1h"),
    default: "10s",
    field: "serve.drainTimeoutMs",
    help: "Then the time for requests in flight; the rest is cut",
  },
};

/** The names of the settings in display order. */
export const SETTING_NAMES: readonly SettingName[] = Object.keys(
  SETTINGS,
) as SettingName[];

/** The flag of a setting: `--health-path` for `HEALTH_PATH`. */
export function flagOf(name: SettingName): string {
  return `--${name.toLowerCase().replaceAll("_", "-")}`;
}

/** The text of a setting for a message, without secrets. */
export function shownText(name: SettingName, text: string): string {
  const { shown = (text) => text } = SETTINGS[name];
  return oneLine(shown(masked(text)));
}
