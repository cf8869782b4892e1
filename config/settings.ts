/**
 * The one table of settings. The parser, `--help` and the README's table are all
 * made from it.
 *
 * A default stands here as text, for people; code has its own, in the function
 * that uses the option, and a setting that is not given is an option left out.
 *
 * @module
 */

import {
  addressList,
  anything,
  authority,
  duration,
  file,
  host,
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

/** What the text of each setting is read into. */
export type SettingValues = {
  BACKENDS: string;
  BACKENDS_FILE: string;
  BACKEND_CA: string;
  BACKEND_CERT: string;
  BACKEND_KEY: string;
  PORT: number;
  HOST: string;
  TLS_CERT: string;
  TLS_KEY: string;
  WORKERS: number | "auto";
  POLICY: string;
  HEALTH_PATH: string | false;
  HEALTH_HOST: string;
  HEALTH_STATUS: string;
  HEALTH_INTERVAL: number;
  HEALTH_TIMEOUT: number;
  HEALTH_RISE: number;
  HEALTH_FALL: number;
  EJECT_AFTER: number | false;
  EJECT_TIME: number;
  SLOW_START: number | false;
  RETRIES: number;
  RETRY_BUDGET: number;
  CONNECT_TIMEOUT: number;
  TIMEOUT: number;
  CLIENT_TIMEOUT: number | false;
  IDLE_TIMEOUT: number | false;
  RESUME: boolean;
  MAX_BODY: number | false;
  MAX_MESSAGE: number;
  MAX_IN_FLIGHT: number | "auto" | false;
  RATE_LIMIT: { requests: number; perMs: number } | false;
  HOST_HEADER: "auto" | "preserve" | "backend";
  TRUSTED_PROXIES: readonly string[];
  VIA: boolean;
  REQUEST_ID: boolean;
  TRACE: boolean;
  ACCESS_LOG: "json" | "combined" | false;
  LOG_QUERY: boolean;
  ADMIN_PORT: number | false;
  ADMIN_HOST: string;
  ADMIN_TOKEN: string;
  DRAIN_DELAY: number;
  DRAIN_TIMEOUT: number;
};

/** The name of a setting, which is the name of its environment variable. */
export type SettingName = keyof SettingValues;

/** One row of the table. */
export interface Setting<T = unknown> {
  /** How its text is read, and which values it takes. */
  readonly grammar: Grammar<T>;
  /** What holds when it is not given, as text; empty for nothing. */
  readonly default: string;
  /**
   * Where its value goes, as a path from the root of the options: `proxy.…` are
   * the proxy's, `serve.…` the server's.
   */
  readonly field: string;
  /** What it means, in one line of Markdown. */
  readonly help: string;
}

/** The settings in the order in which they are shown. */
export const SETTINGS: {
  readonly [Name in SettingName]: Setting<SettingValues[Name]>;
} = {
  BACKENDS: {
    grammar: anything("a list"),
    default: "",
    field: "proxy.backends",
    help:
      "The backends, separated by commas or newlines: a URL (`http:`, `https:` or `unix:/path.sock`; a base path is kept in front), then after spaces `weight=3` (0 to 1000, 0 gets nothing), `backup`, `max_conns=100`, `resolve`",
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
    help: "PEM: the client certificate that `https:` backends are shown",
  },
  BACKEND_KEY: {
    grammar: file,
    default: "",
    field: "proxy.backendTls.key",
    help: "PEM: its private key",
  },
  PORT: {
    grammar: port,
    default: "8080",
    field: "serve.port",
    help:
      "Where it listens; 0 takes a free port, and the first line says which",
  },
  HOST: {
    grammar: host,
    default: "0.0.0.0",
    field: "serve.host",
    help: "The address it listens on",
  },
  TLS_CERT: {
    grammar: file,
    default: "",
    field: "serve.tls.cert",
    help: "PEM: the certificate and its chain, to serve HTTPS",
  },
  TLS_KEY: {
    grammar: file,
    default: "",
    field: "serve.tls.key",
    help: "PEM: its private key",
  },
  WORKERS: {
    grammar: orWord("auto", "auto", integer(1, 256)),
    default: "1",
    field: "serve.workers",
    help:
      "Listeners on the one port, with one set of probes; `auto`: as many as processors",
  },
  POLICY: {
    grammar: policy,
    default: "round_robin",
    field: "proxy.policy",
    help:
      "How a backend is picked. `uri_hash` takes the path without the query; where a request has no such header or cookie, round robin decides",
  },
  HEALTH_PATH: {
    grammar: orOff(path),
    default: "/health",
    field: "proxy.health.path",
    help:
      "What probes ask for, after a backend's base path; `off` for no probes",
  },
  HEALTH_HOST: {
    grammar: authority,
    default: "",
    field: "proxy.health.host",
    help:
      "The `Host` that probes send, for backends that check it; without it the backend's own",
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
    help: "Time from one probe of a backend to the next, ±15 %",
  },
  HEALTH_TIMEOUT: {
    grammar: duration("1ms", "24h"),
    default: "2s",
    field: "proxy.health.timeoutMs",
    help: "Time that a probe may take; under the interval",
  },
  HEALTH_RISE: {
    grammar: integer(1, 100),
    default: "2",
    field: "proxy.health.rise",
    help:
      "Passes in a row that bring a backend up; the very first probe decides alone",
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
    help:
      "Bad outcomes in a row that eject a backend: no connection, reset, timeout, a truncated body, 502, 503, 504",
  },
  EJECT_TIME: {
    grammar: duration("1ms", "5m"),
    default: "10s",
    field: "proxy.eject.timeMs",
    help:
      "How long the first ejection lasts; doubles each time up to 5 m; at most half the pool, never the last",
  },
  SLOW_START: {
    grammar: orOff(duration("1ms", "1h")),
    default: "off",
    field: "proxy.slowStartMs",
    help: "Time over which a backend that comes back gets its share, from 10 %",
  },
  RETRIES: {
    // 0 is a count like any other, and `off` is what the other settings teach.
    grammar: orWord("off", 0, integer(0, 10)),
    default: "2",
    field: "proxy.retries",
    help:
      "Further attempts, each on a backend not tried yet; a backend's own 502, 503 or 504 is passed on",
  },
  RETRY_BUDGET: {
    grammar: share,
    default: "20%",
    field: "proxy.retryBudget",
    help:
      "Retries as a share of the requests of the last 10 s, and 100 besides in the same 10 s",
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
      "Time from the last byte sent to a backend to its response header; past it, 504",
  },
  CLIENT_TIMEOUT: {
    grammar: orOff(duration("1ms", "24h")),
    default: "60s",
    field: "proxy.clientTimeoutMs",
    help:
      "Time for a client to send the next piece of a body (then 408), or to take the next piece of an answer (then the answer is cut)",
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
      "Carry a broken download or event stream on from another backend, where that is provably the same",
  },
  MAX_BODY: {
    grammar: orOff(size("1B", "1024GB")),
    default: "off",
    field: "proxy.maxBodyBytes",
    help: "Size of a request body; more is answered with 413",
  },
  MAX_MESSAGE: {
    grammar: size("1KB", "64MB"),
    default: "16MB",
    field: "proxy.maxMessageBytes",
    help:
      "Size of a WebSocket message, either way; a larger one closes the connection with 1009",
  },
  MAX_IN_FLIGHT: {
    grammar: orOff(orWord("auto", "auto", integer(1, 1_000_000))),
    default: "off",
    field: "proxy.maxInFlight",
    help:
      "Most requests at once, or `auto`, which learns from latencies how many may wait; above it, or when `max_conns` is full everywhere, 503 with `Retry-After`",
  },
  RATE_LIMIT: {
    grammar: orOff(rate),
    default: "off",
    field: "proxy.rateLimit",
    help:
      "Requests of one client address per second, minute or hour, with a burst of as many; above it, 429 with `Retry-After`",
  },
  HOST_HEADER: {
    grammar: oneOf("auto", "preserve", "backend"),
    default: "auto",
    field: "proxy.hostHeader",
    help:
      "The `Host` that backends are sent: the client's, their own, or `auto`: the client's for http, their own for https",
  },
  TRUSTED_PROXIES: {
    grammar: addressList,
    default: "",
    field: "proxy.trustedProxies",
    help: "Whose forwarding fields are believed and appended to",
  },
  VIA: {
    grammar: onOff,
    default: "on",
    field: "proxy.via",
    help: "Send `Via`, and answer 508 to a request that has been here",
  },
  REQUEST_ID: {
    grammar: onOff,
    default: "off",
    field: "proxy.requestId",
    help:
      "Keep an `X-Request-Id` of 8 to 128 token characters or make one; on the request, the response and the log line",
  },
  TRACE: {
    grammar: onOff,
    default: "off",
    field: "proxy.trace",
    help:
      "Make a `traceparent` where there is none, keep the trace id where there is one; each attempt has its own span id",
  },
  ACCESS_LOG: {
    grammar: orOff(oneOf("json", "combined")),
    default: "off",
    field: "proxy.accessLog",
    help: "One line a request on standard output",
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
    help: "Port of the dashboard, the metrics and the admin API",
  },
  ADMIN_HOST: {
    grammar: host,
    default: "127.0.0.1",
    field: "serve.admin.host",
    help: "The address they listen on",
  },
  ADMIN_TOKEN: {
    grammar: secret,
    default: "",
    field: "serve.admin.token",
    help:
      "What a change must carry as `Authorization: Bearer`; without it there are no changes",
  },
  DRAIN_DELAY: {
    grammar: duration("0s", "1h"),
    default: "0s",
    field: "serve.drainDelayMs",
    help: "On SIGTERM or SIGINT: time from not ready to no longer listening",
  },
  DRAIN_TIMEOUT: {
    grammar: duration("0s", "1h"),
    default: "10s",
    field: "serve.drainTimeoutMs",
    help: "Then the time for what runs; the rest is cut",
  },
};

/** The names of the settings in the order in which they are shown. */
export const SETTING_NAMES: readonly SettingName[] = Object.keys(
  SETTINGS,
) as SettingName[];

/** The flags that are no settings. They take no value. */
export const COMMANDS: Readonly<Record<string, string>> = {
  "--help": "Print this",
  "--version": "Print the version",
  "--check":
    "Read the settings, probe each backend once, print what was found and the narrowest Deno permissions; exit 0, 1 when a backend does not answer well, 2 when a setting is wrong",
};

/** The flag of a setting: `--health-path` for `HEALTH_PATH`. */
export function flagOf(name: SettingName): string {
  return `--${name.toLowerCase().replaceAll("_", "-")}`;
}

/** The README's table in Markdown, laid out as `deno fmt` would. */
export function settingsTable(): string {
  const rows = SETTING_NAMES.map((name) => {
    const { grammar, help } = SETTINGS[name];
    return [`\`${name}\``, shownDefault(name, "`"), grammar.takes, help];
  });
  const all = [["Variable", "Default", "Values", "Meaning"], ...rows];
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...all.map((row) => row[column]!.length))
  );
  const [head, ...body] = all.map((row) =>
    `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`
  );
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [head, rule, ...body].join("\n") + "\n";
}

/** What `--help` prints, at most 100 columns wide. */
export function helpText(version: string): string {
  const item = (left: string, right: string) =>
    wrap(right, 71).map((line, i) =>
      `  ${(i === 0 ? left : "").padEnd(25)}  ${line}`.trimEnd()
    ).join("\n");
  const settings = SETTING_NAMES.map((name) => {
    const { grammar, help } = SETTINGS[name];
    const facts = `Takes ${grammar.takes}; ${shownDefault(name, "")}`;
    return item(flagOf(name), plain(`${help}. ${facts}.`));
  });
  return `Sluice ${version}: a load-balancing reverse proxy

Usage:
  deno run --allow-net --allow-env mod.ts [FLAG…]
  bun run mod.ts [FLAG…]

For example:
  BACKENDS=http://10.0.0.5:3000,http://10.0.0.6:3000 bun run mod.ts
  bun run mod.ts --backends http://10.0.0.5:3000 --port 80 --policy least_conn

Each setting is a flag, written --port 80 or --port=80, and an environment variable: --health-path
is HEALTH_PATH. The flag wins. With files among the settings, Deno needs --allow-read besides.

Settings:
${settings.join("\n")}

Other flags:
${Object.entries(COMMANDS).map(([flag, help]) => item(flag, help)).join("\n")}
`;
}

/** The default as people are shown it. */
function shownDefault(name: SettingName, quote: string): string {
  const text = SETTINGS[name].default;
  const prefix = quote === "" ? "default " : "";
  if (text !== "") return `${prefix}${quote}${text}${quote}`;
  return name === "BACKENDS" ? "required" : `${prefix}none`;
}

function plain(markdown: string): string {
  return markdown.replaceAll("`", "");
}

/** Breaks a text at spaces into lines of at most `width`. */
function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}
