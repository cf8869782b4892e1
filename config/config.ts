/**
 * From flags, environment and files to options, or to the list of what is wrong.
 *
 * Nothing is read by itself: the environment and the files are handed in, so
 * that every wrong setting can be tried without a process. All faults are
 * collected; who starts a proxy should not have to mend one to see the next.
 *
 * @module
 */

import { parseBackends } from "./backends.ts";
import { oneLine, quote } from "./fault.ts";
import { type Flags, readFlags } from "./flags.ts";
import { collide, leadsTo } from "./listener.ts";
import { type Env, proxyVariableFault } from "./no_proxy.ts";
import type {
  BackendOptions,
  ProxyOptions,
  ServeOptions,
  TlsOptions,
} from "./options.ts";
import { flagOf, SETTING_NAMES, SETTINGS } from "./settings.ts";
import type { Setting, SettingName, SettingValues } from "./settings.ts";
import { nearMiss } from "./spelling.ts";

export type { Env } from "./no_proxy.ts";

/** What the program is to do. */
export type Config = AskedConfig | FaultyConfig | UsableConfig;

/** It was asked for its help or its version; no setting was looked at. */
export interface AskedConfig {
  /** Which of them. */
  readonly kind: "help" | "version";
}

/** It cannot run. */
export interface FaultyConfig {
  /** Tells it from the others. */
  readonly kind: "faults";
  /** What is wrong, one line each, without anything secret. */
  readonly faults: readonly string[];
}

/** It can run, or check whether its backends answer. */
export interface UsableConfig {
  /** `check` when `--check` was given. */
  readonly kind: "run" | "check";
  /** Options of the proxy; what was not set is absent. No backend is a function. */
  readonly proxy: ProxyOptions & {
    readonly backends: readonly BackendOptions[];
  };
  /** Options of the server; what was not set is absent. */
  readonly serve: ServeOptions;
  /** The file to watch for other backends, when they came from one. */
  readonly backendsFile?: string | undefined;
  /**
   * Each setting as text, its default where it was not set, and absent when it
   * has none; what is secret is `***`.
   */
  readonly values: Readonly<Partial<Record<SettingName, string>>>;
}

/** Which backends a text names, or what is wrong with it. */
export interface ReadBackends {
  /** The backends; to be used only when there are no faults. */
  readonly backends: readonly BackendOptions[];
  /** What is wrong, one line each, without anything secret. */
  readonly faults: readonly string[];
}

/**
 * Reads all settings.
 *
 * @param args The program's arguments.
 * @param env Reads an environment variable; `undefined` if it may not.
 * @param envNames The names of all variables, when they may be listed; only for
 * finding misspelt ones.
 * @param readFile Reads a file as text, or throws.
 */
export function readSettings(
  args: readonly string[],
  env: Env,
  envNames: readonly string[] | undefined,
  readFile: (path: string) => string,
): Config {
  const flags = readFlags(args);
  if (flags.commands.has("--help")) return { kind: "help" };
  if (flags.commands.has("--version")) return { kind: "version" };

  const reading: Reading = {
    env,
    envNames: envNames ?? [],
    readFile,
    given: givenSettings(flags, env),
    set: {},
    effective: {},
    faults: [...flags.faults],
  };
  for (const name of SETTING_NAMES) readValue(reading, name);
  refuseMisspelt(reading);
  const backends = readGivenBackends(reading);
  const tls = readPair(reading, "TLS_CERT", "TLS_KEY");
  const backendTls = {
    ca: readPem(reading, "BACKEND_CA"),
    ...readPair(reading, "BACKEND_CERT", "BACKEND_KEY"),
  };
  refuseTimeout(reading);
  refuseAdminPort(reading);
  if (reading.faults.length > 0) {
    return { kind: "faults", faults: reading.faults };
  }

  const { set } = reading;
  return {
    kind: flags.commands.has("--check") ? "check" : "run",
    proxy: compact({
      backends,
      policy: set.POLICY,
      health: set.HEALTH_PATH !== false && unlessEmpty({
        path: set.HEALTH_PATH,
        host: set.HEALTH_HOST,
        status: set.HEALTH_STATUS,
        intervalMs: set.HEALTH_INTERVAL,
        timeoutMs: set.HEALTH_TIMEOUT,
        rise: set.HEALTH_RISE,
        fall: set.HEALTH_FALL,
      }),
      eject: set.EJECT_AFTER !== false && unlessEmpty({
        after: set.EJECT_AFTER,
        timeMs: set.EJECT_TIME,
      }),
      slowStartMs: set.SLOW_START || undefined,
      retries: set.RETRIES,
      retryBudget: set.RETRY_BUDGET,
      connectTimeoutMs: set.CONNECT_TIMEOUT,
      timeoutMs: set.TIMEOUT,
      clientTimeoutMs: set.CLIENT_TIMEOUT,
      idleTimeoutMs: set.IDLE_TIMEOUT || undefined,
      resume: set.RESUME,
      maxBodyBytes: set.MAX_BODY || undefined,
      maxMessageBytes: set.MAX_MESSAGE,
      maxInFlight: set.MAX_IN_FLIGHT || undefined,
      rateLimit: set.RATE_LIMIT || undefined,
      hostHeader: set.HOST_HEADER,
      trustedProxies: set.TRUSTED_PROXIES,
      via: set.VIA,
      requestId: set.REQUEST_ID,
      trace: set.TRACE,
      accessLog: set.ACCESS_LOG,
      logQuery: set.LOG_QUERY,
      backendTls: unlessEmpty(backendTls),
    }),
    serve: compact({
      port: set.PORT,
      host: set.HOST,
      tls,
      drainDelayMs: set.DRAIN_DELAY,
      drainTimeoutMs: set.DRAIN_TIMEOUT,
      admin: typeof set.ADMIN_PORT !== "number" ? set.ADMIN_PORT : compact({
        port: set.ADMIN_PORT,
        host: set.ADMIN_HOST,
        token: set.ADMIN_TOKEN,
      }),
      workers: set.WORKERS,
    }),
    backendsFile: set.BACKENDS_FILE,
    values: shownValues(reading),
  };
}

/**
 * Reads a list of backends and checks that each can be reached: that it is not
 * the listener itself, and that no proxy variable diverts its requests. For the
 * list at start, and for each new one in `BACKENDS_FILE`.
 *
 * @param label What a fault begins with, such as `BACKENDS`.
 */
export function readBackends(
  label: string,
  text: string,
  serve: Pick<ServeOptions, "port" | "host">,
  env: Env,
): ReadBackends {
  const {
    port = Number(SETTINGS.PORT.default),
    host = SETTINGS.HOST.default,
  } = serve;
  const list = parseBackends(text);
  const urls = list.backends.map(({ url }) => url);
  const hasLines = text.includes("\n");
  const faults = list.faults.map(({ line, entry, wanted }) => {
    if (entry === "") return `${label}: ${wanted}`;
    return `${label}: ${hasLines ? `line ${line}, ` : ""}${
      quote(entry)
    } ${wanted}`;
  });
  for (const url of urls) {
    // Port 0 is not known yet, and no backend has it.
    if (leadsTo(url, { host, port })) {
      faults.push(`${label}: ${quote(url)} is this proxy: write another port`);
    }
  }
  const diverted = proxyVariableFault(urls, env);
  if (diverted !== undefined) faults.push(diverted);
  return { backends: list.backends, faults };
}

/** A setting that was given, and the name under which it was. */
interface Given {
  readonly text: string;
  readonly label: string;
}

/** What is known while the settings are read. */
interface Reading {
  readonly env: Env;
  readonly envNames: readonly string[];
  readonly readFile: (path: string) => string;
  readonly given: ReadonlyMap<SettingName, Given>;
  /** The values that were given and can be used. */
  readonly set: Partial<SettingValues>;
  /** Those, and the defaults of what was not given: for comparing settings. */
  readonly effective: Partial<SettingValues>;
  readonly faults: string[];
}

function givenSettings(flags: Flags, env: Env): Map<SettingName, Given> {
  const given = new Map<SettingName, Given>();
  for (const name of SETTING_NAMES) {
    const flag = flags.values.get(name);
    // Space around a value is an accident: a newline of a file, a YAML block.
    const text = (flag ?? env(name) ?? "").trim();
    if (text === "") continue;
    given.set(name, { text, label: flag === undefined ? name : flagOf(name) });
  }
  return given;
}

function readValue<Name extends SettingName>(reading: Reading, name: Name) {
  const given = reading.given.get(name);
  const setting: Setting<SettingValues[Name]> = SETTINGS[name];
  const text = given?.text ?? setting.default;
  if (text === "") return;
  const result = setting.grammar.parse(text);
  if ("wanted" in result) return refuse(reading, name, result.wanted);
  reading.effective[name] = result.value;
  if (given !== undefined) reading.set[name] = result.value;
}

/** Notes what is wrong with a setting that was given. */
function refuse(reading: Reading, name: SettingName, wanted: string): void {
  const { label, text } = reading.given.get(name)!;
  const shown = name === "ADMIN_TOKEN" ? "***" : text;
  reading.faults.push(`${label}: ${quote(shown)} ${wanted}`);
}

/** The name under which a setting was given, or its own. */
function labelOf(reading: Reading, name: SettingName): string {
  return reading.given.get(name)?.label ?? name;
}

function refuseMisspelt({ env, envNames, given, faults }: Reading): void {
  for (const written of envNames) {
    const meant = nearMiss(written);
    // A missing `BACKENDS` is a fault already, and says what was near.
    if (meant === undefined || meant === "BACKENDS") continue;
    if (given.has(meant) || !env(written)) continue;
    faults.push(
      `${oneLine(written)}: is no setting: write ${meant}, or unset it`,
    );
  }
}

function readGivenBackends(reading: Reading): readonly BackendOptions[] {
  const { given, set, effective, faults, env } = reading;
  if (given.has("BACKENDS") && given.has("BACKENDS_FILE")) {
    const [list, file] = ["BACKENDS", "BACKENDS_FILE"] as const;
    faults.push(
      `${labelOf(reading, list)}: is set beside ${labelOf(reading, file)}: ` +
        "write one of them",
    );
    return [];
  }
  const name = given.has("BACKENDS_FILE") ? "BACKENDS_FILE" : "BACKENDS";
  if (!given.has(name)) {
    // `BACKEND` is asked for by name, since listing may not be permitted.
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
  const serve = { port: effective.PORT, host: effective.HOST };
  const list = readBackends(labelOf(reading, name), text, serve, env);
  faults.push(...list.faults);
  return list.backends;
}

function readText(reading: Reading, name: SettingName): string | undefined {
  if (reading.set[name] === undefined) return undefined;
  try {
    return reading.readFile(reading.given.get(name)!.text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    refuse(reading, name, `cannot be read: ${oneLine(reason)}`);
    return undefined;
  }
}

function readPem(reading: Reading, name: SettingName): string | undefined {
  const text = readText(reading, name);
  if (text === undefined) return undefined;
  const kind = name.endsWith("_KEY") ? "PRIVATE KEY" : "CERTIFICATE";
  // `RSA PRIVATE KEY` and the like are fine; the two files swapped are not.
  if (new RegExp(`-----BEGIN [A-Z0-9 ]*${kind}-----`).test(text)) return text;
  refuse(
    reading,
    name,
    `holds no PEM: write -----BEGIN ${kind}----- and so on`,
  );
  return undefined;
}

/** A certificate and its key: both or neither. */
function readPair(
  reading: Reading,
  certName: SettingName,
  keyName: SettingName,
): TlsOptions | undefined {
  const { given, faults } = reading;
  if (given.has(certName) !== given.has(keyName)) {
    const [there, missing] = given.has(certName)
      ? [certName, keyName]
      : [keyName, certName];
    faults.push(
      `${missing}: is missing beside ${labelOf(reading, there)}: ` +
        "set both or neither",
    );
    return undefined;
  }
  const cert = readPem(reading, certName);
  const key = readPem(reading, keyName);
  return cert === undefined || key === undefined ? undefined : { cert, key };
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
  if (!collide(ADMIN_HOST, HOST)) return;
  refuse(reading, "ADMIN_PORT", "is the PORT as well: write another port");
}

function shownValues({ given }: Reading): Partial<Record<SettingName, string>> {
  const shown: Partial<Record<SettingName, string>> = {};
  for (const name of SETTING_NAMES) {
    const text = given.get(name)?.text ?? SETTINGS[name].default;
    if (text !== "") shown[name] = name === "ADMIN_TOKEN" ? "***" : text;
  }
  return shown;
}

/** Leaves out what is `undefined`, so that what is there was set. */
function compact<T extends object>(object: T): T {
  return Object.fromEntries(
    Object.entries(object).filter(([, value]) => value !== undefined),
  ) as T;
}

/** As {@linkcode compact}; `undefined` when nothing is left. */
function unlessEmpty<T extends object>(object: T): T | undefined {
  const left = compact(object);
  return Object.keys(left).length > 0 ? left : undefined;
}
