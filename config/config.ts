/**
 * Turns flags, environment and files into options, or into a list of faults.
 *
 * Nothing is read implicitly: the environment and the files are parameters, so
 * every wrong setting can be tested without a process. All faults are
 * collected, so that fixing one does not merely reveal the next.
 *
 * @module
 */

import { oneLine } from "./fault.ts";
import { readFlags } from "./flags.ts";
import { listenFault, unreadable } from "./foreign.ts";
import { collide, isLocal } from "./listener.ts";
import type { Env } from "./no_proxy.ts";
import type {
  BackendOptions,
  BackendTlsOptions,
  ProxyOptions,
  ServeOptions,
} from "./options.ts";
import { listenersOf, readBackends } from "./read_backends.ts";
import {
  givenSettings,
  labelOf,
  type Reading,
  readText,
  readValue,
  refuse,
  shownValues,
} from "./reading.ts";
import { SETTING_NAMES, SETTINGS } from "./settings.ts";
import type { SettingName } from "./settings.ts";
import { nearMiss } from "./spelling.ts";
import { optionsFrom } from "./to_options.ts";
import { readTlsFiles } from "./tls.ts";

export type { Env } from "./no_proxy.ts";

/** What the program should do. */
export type Config = AskedConfig | FaultyConfig | UsableConfig;

/** Print the help or the version; no setting was read. */
export interface AskedConfig {
  /** Which of the two. */
  readonly kind: "help" | "version";
}

/** Exit, because settings are wrong. */
export interface FaultyConfig {
  /** Discriminates the type. */
  readonly kind: "faults";
  /** What is wrong, one line each, without anything secret. */
  readonly faults: readonly string[];
}

/** Run, or check the backends. */
export interface UsableConfig {
  /** `check` when `--check` was given. */
  readonly kind: "run" | "check";
  /** Options of the proxy; unset ones are absent. No backend is a function. */
  readonly proxy: ProxyOptions & {
    readonly backends: readonly BackendOptions[];
  };
  /** Options of the server; unset ones are absent. */
  readonly serve: ServeOptions;
  /** The file to watch for changes, if the backends came from one. */
  readonly backendsFile?: string | undefined;
  /**
   * Each setting as text: as set, or its default. Absent if it has neither.
   * Secrets are `***`.
   */
  readonly values: Readonly<Partial<Record<SettingName, string>>>;
  /** Likely mistakes among valid settings, one line each, without secrets. */
  readonly warnings: readonly string[];
}

/** What {@linkcode readSettings} may know about the runtime. */
export interface Surroundings {
  /** Whether a variable may be read. Default: all may. */
  readonly mayRead?: ((name: string) => boolean) | undefined;
  /** Returns the reason why certificates cannot be used. Default: none. */
  readonly tryTls?:
    | ((tls: BackendTlsOptions) => string | undefined)
    | undefined;
  /** Whether Deno's own variables have an effect. @default {false} */
  readonly onDeno?: boolean | undefined;
  /** Milliseconds since 1970. Default: now. */
  readonly now?: number | undefined;
}

/**
 * Reads all settings.
 *
 * @param args The program's arguments.
 * @param env Reads an environment variable; `undefined` if it may not.
 * @param envNames The names of all variables, if they may be listed; used only
 * to find misspelt ones.
 */
export function readSettings(
  args: readonly string[],
  env: Env,
  envNames: readonly string[] | undefined,
  readFile: (path: string) => string,
  surroundings: Surroundings = {},
): Config {
  const {
    mayRead = () => true,
    tryTls = () => undefined,
    onDeno = false,
    now = Date.now(),
  } = surroundings;
  const flags = readFlags(args);
  if (flags.commands.has("--help")) return { kind: "help" };
  if (flags.commands.has("--version")) return { kind: "version" };

  const reading: Reading = {
    env,
    envNames: envNames ?? [],
    readFile,
    tryTls,
    now,
    given: givenSettings(flags, env),
    set: {},
    effective: {},
    faults: [...flags.faults],
    warnings: [],
  };
  for (const name of SETTING_NAMES) readValue(reading, name);
  refuseMisspelt(reading);
  const backends = readGivenBackends(reading);
  const files = readTlsFiles(reading);
  refuseCombinations(reading);
  const moved = onDeno ? listenFault(env) : undefined;
  if (moved !== undefined) reading.faults.push(moved);
  if (reading.faults.length > 0) {
    return { kind: "faults", faults: reading.faults };
  }

  const { proxy, serve } = optionsFrom({
    ...reading.set,
    BACKENDS_FILE: backends,
    BACKENDS: backends,
    ...files,
  });
  return {
    kind: flags.commands.has("--check") ? "check" : "run",
    proxy: proxy as UsableConfig["proxy"],
    serve,
    backendsFile: reading.set.BACKENDS_FILE,
    values: shownValues(reading),
    warnings: [
      ...reading.warnings,
      ...adminWarnings(reading),
      ...variableWarnings(backends, serve.tls !== undefined, mayRead),
    ],
  };
}

function refuseMisspelt({ env, envNames, given, faults }: Reading): void {
  for (const written of envNames) {
    const meant = nearMiss(written);
    // A missing `BACKENDS` is a fault already, and mentions the similar name.
    if (meant === undefined || meant === "BACKENDS") continue;
    if (given.has(meant) || !env(written)) continue;
    faults.push(
      `${oneLine(written)}: is not a setting: write ${meant}, or unset it`,
    );
  }
}

function readGivenBackends(reading: Reading): readonly BackendOptions[] {
  const { given, set, effective, faults, env } = reading;
  if (given.has("BACKENDS") && given.has("BACKENDS_FILE")) {
    const [list, file] = ["BACKENDS", "BACKENDS_FILE"] as const;
    faults.push(
      `${labelOf(reading, list)}: is set together with ${
        labelOf(reading, file)
      }: ` +
        "set only one of them",
    );
    return [];
  }
  const name = given.has("BACKENDS_FILE") ? "BACKENDS_FILE" : "BACKENDS";
  if (!given.has(name)) {
    // `BACKEND` is read by name, since listing may not be permitted.
    const near = ["BACKEND", ...reading.envNames]
      .find((written) => nearMiss(written) === "BACKENDS" && env(written));
    faults.push(
      `BACKENDS: is not set${near ? ` (but ${near} is)` : ""}: ` +
        "write BACKENDS=http://127.0.0.1:3000,http://127.0.0.1:3001",
    );
    return [];
  }
  const text = name === "BACKENDS" ? set.BACKENDS : readText(reading, name);
  if (text === undefined) return [];
  const { PORT: port, HOST: host, ADMIN_PORT, ADMIN_HOST } = effective;
  const { REDIRECT_PORT: redirectPort } = effective;
  const admin = typeof ADMIN_PORT === "number" &&
    { port: ADMIN_PORT, host: ADMIN_HOST };
  const own = listenersOf({ port, host, admin, redirectPort });
  const list = readBackends(labelOf(reading, name), text, own, env, {
    isFile: name === "BACKENDS_FILE",
    workers: effective.WORKERS,
  });
  faults.push(...list.faults);
  return list.backends;
}

/** Refuses values that are valid alone but not in combination. */
function refuseCombinations(reading: Reading): void {
  refuseTimeout(reading);
  refuseAdminPort(reading);
  refuseRedirectPort(reading);
}

function refuseTimeout(reading: Reading): void {
  const { given, effective } = reading;
  const { HEALTH_TIMEOUT: timeout, HEALTH_INTERVAL: interval } = effective;
  if (timeout === undefined || interval === undefined) return;
  if (effective.HEALTH_PATH === false || timeout < interval) return;
  const [name, other, under] = given.has("HEALTH_TIMEOUT")
    ? ["HEALTH_TIMEOUT", "HEALTH_INTERVAL", "under"] as const
    : ["HEALTH_INTERVAL", "HEALTH_TIMEOUT", "over"] as const;
  const text = given.get(other)?.text ??
    `${SETTINGS[other].default} by default`;
  const wanted = `is not ${under} ${other} (${text})`;
  refuse(reading, name, `${wanted}: set HEALTH_TIMEOUT under HEALTH_INTERVAL`);
}

function refuseAdminPort(reading: Reading): void {
  const { ADMIN_PORT, ADMIN_HOST, PORT, HOST } = reading.effective;
  if (ADMIN_PORT !== PORT || PORT === undefined || PORT === 0) return;
  if (ADMIN_HOST === undefined || HOST === undefined) return;
  if (!collide(ADMIN_HOST[0]!, HOST)) return;
  refuse(reading, "ADMIN_PORT", "is also PORT: write another port");
}

function refuseRedirectPort(reading: Reading): void {
  const { given, effective } = reading;
  const { REDIRECT_PORT: port, HOST, PORT, ADMIN_PORT, ADMIN_HOST } = effective;
  if (port === undefined || port === false) return;
  if (!given.has("TLS_CERT") && !given.has("TLS_KEY")) {
    refuse(reading, "REDIRECT_PORT", "needs TLS: set TLS_CERT and TLS_KEY");
    return;
  }
  if (port === 0 || HOST === undefined) return;
  const taken = port === PORT
    ? "PORT"
    : port === ADMIN_PORT && ADMIN_HOST !== undefined &&
        collide(ADMIN_HOST[0]!, HOST)
    ? "ADMIN_PORT"
    : undefined;
  if (taken === undefined) return;
  refuse(
    reading,
    "REDIRECT_PORT",
    `is also ${taken}: write another port`,
  );
}

/** Warns about an admin port that other hosts can reach. */
function adminWarnings(reading: Reading): string[] {
  const { ADMIN_PORT, ADMIN_HOST, ADMIN_TOKEN } = reading.effective;
  const host = ADMIN_HOST?.[0];
  if (typeof ADMIN_PORT !== "number" || host === undefined || isLocal(host)) {
    return [];
  }
  const token = ADMIN_TOKEN === undefined
    ? ""
    : ", and the token is sent in the clear";
  return [
    `${labelOf(reading, "ADMIN_HOST")}: any host that can connect to ${host} ` +
    `may read the admin port, and it has no TLS${token}: ` +
    "keep it in a private network",
  ];
}

function variableWarnings(
  backends: readonly { readonly url: string }[],
  secure: boolean,
  mayRead: (name: string) => boolean,
): string[] {
  const names = unreadable(backends.map(({ url }) => url), secure, mayRead);
  return names.length === 0 ? [] : [
    `${names.join(", ")}: may not be read, but the runtime obeys them: ` +
    "add them to --allow-env, so that Sluice can refuse them",
  ];
}
