/**
 * The program: reads settings, starts a server, handles signals.
 *
 * @module
 */

import type { ReplaceCounts } from "../balancer.ts";
import { messageOf } from "../base/text.ts";
import { readSettings, type UsableConfig } from "../config/config.ts";
import { checkedOption } from "../config/option.ts";
import type { BackendOptions } from "../config/options.ts";
import { listenersOf, readBackends } from "../config/read_backends.ts";
import { BackendsFile } from "../discovery/backends_file.ts";
import { systemClock } from "../base/clock.ts";
import {
  args,
  env,
  envNames,
  exit,
  mayRead,
  onDeno,
  onSignal,
  printError,
  readText,
  showsColours,
  suppressSignalWarning,
  surviveRejections,
  writeLine,
  writeText,
} from "../runtime/process.ts";
import { tlsFault } from "../runtime/tls.ts";
import { workersFault } from "../runtime/sharing.ts";
import { type CertificateFiles, watchCertificate } from "./certificates.ts";
import { coreOf, createProxy, type ReverseProxy } from "./create.ts";
import { entryOf, resolveFault } from "./entries.ts";
import { type ProxyServer, serve } from "./serve.ts";
import { VERSION } from "./version.ts";

/** Applies a new text of `BACKENDS_FILE`, or logs why it cannot. */
async function reload(
  proxy: ReverseProxy,
  text: string,
  workers: number | "auto" | undefined,
): Promise<void> {
  const label = "BACKENDS_FILE";
  const { listeners, life: { members }, options } = coreOf(proxy)!;
  const { backends, faults } = readBackends(label, text, listeners, env, {
    isFile: true,
    workers,
  });
  const all = faults.concat(
    backends.flatMap((entry) => resolveFault(entry, options.transport) ?? [])
      .map((fault) => `BACKENDS_FILE: ${fault}`),
  );
  const refuse = (faults: readonly string[]) => {
    for (const fault of faults) printError(fault);
    printError("BACKENDS_FILE was refused: the backends stay as they are");
  };
  if (all.length > 0) return refuse(all);
  const entries = backends.map((init, i) => entryOf(init, "backend", i));
  let replaced: ReplaceCounts;
  try {
    replaced = await members.replace(entries);
  } catch (error) {
    return refuse([`BACKENDS_FILE: ${messageOf(error)}`]);
  }
  const { added, removed, changed } = replaced;
  const { size } = proxy.pool;
  printError(
    `BACKENDS_FILE read: ${size} ${size === 1 ? "backend" : "backends"} ` +
      `(${added} added, ${removed} removed, ${changed} changed)`,
  );
}

/** The settings; ends the program for `--help` and the like, or on faults. */
async function usableConfig(): Promise<
  { config: UsableConfig; texts: ReadonlyMap<string, string> }
> {
  const texts = new Map<string, string>();
  const read = (path: string) => {
    const text = readText(path);
    texts.set(path, text);
    return text;
  };
  const config = readSettings(args(), env, envNames(), read, {
    mayRead,
    tryTls: tlsFault,
    onDeno,
  });
  if (config.kind === "faults") return refuse(config.faults);
  if (!("proxy" in config)) {
    writeText("out", await requestedText(config.kind));
    return exit(0);
  }
  const { proxy, serve, backendsFile } = config;
  const list = backendsFile === undefined ? "BACKENDS" : "BACKENDS_FILE";
  const listed: readonly BackendOptions[] = proxy.backends;
  const unresolved = listed.flatMap((entry) =>
    resolveFault(entry, proxy.transport) ?? []
  );
  if (unresolved.length > 0) {
    return refuse(unresolved.map((fault) => `${list}: ${fault}`));
  }
  if (config.kind === "check") {
    const { check } = await import("./check.ts");
    return exit(await check(config, texts));
  }
  const workers = workersFault(
    checkedOption("WORKERS", serve.workers),
    serve.tls !== undefined,
  );
  if (workers !== undefined) return refuse([`WORKERS: ${workers}`]);
  return { config, texts };
}

/** What `--help` and `--version` print. */
async function requestedText(kind: "help" | "version"): Promise<string> {
  if (kind === "version") return `sluice ${VERSION}\n`;
  const { helpText } = await import("../config/help.ts");
  const { painted, unpainted } = await import("./colours.ts");
  const paint = showsColours() ? painted : unpainted;
  return helpText(VERSION, (heading) => paint(heading, "bold"));
}

/** Ends the program because of invalid settings. */
function refuse(faults: readonly string[]): never {
  for (const fault of faults) writeLine("err", fault);
  return exit(2);
}

/** Handles SIGHUP: reads the files again, if there are any. */
function hangUp(
  config: UsableConfig,
  file: BackendsFile | undefined,
  certificate: CertificateFiles | undefined,
): void {
  certificate?.reload();
  if (file !== undefined) file.reload();
  else if (config.serve.tls === undefined) {
    printError(
      "SIGHUP has nothing to read again: neither BACKENDS_FILE nor TLS_CERT is set",
    );
  }
}

/** The program: reads settings, starts a server, handles signals. */
export async function main(): Promise<void> {
  const { config, texts } = await usableConfig();
  surviveRejections(printError);
  suppressSignalWarning();
  for (const warning of config.warnings) printError(warning);
  const proxy = createProxy(config.proxy);
  // Before it listens, as far as the ports are known: a name may resolve to
  // this proxy.
  const { listeners } = coreOf(proxy)!;
  listeners.push(...listenersOf(config.serve));
  let server: ProxyServer | undefined;
  let signals = 0;
  const end = () => {
    if (++signals > 1) exit(1);
    printError("draining: a second signal ends it at once");
    (server?.stop() ?? proxy.stop()).then(() => exit(0));
  };
  onSignal("SIGTERM", end);
  onSignal("SIGINT", end);
  const path = config.backendsFile;
  const file = path === undefined ? undefined : new BackendsFile({
    path,
    text: texts.get(path) ?? "",
    changed: (text) => reload(proxy, text, config.serve.workers),
    log: printError,
    clock: systemClock,
  });
  let certificate: CertificateFiles | undefined = undefined;
  onSignal("SIGHUP", () => hangUp(config, file, certificate));
  await proxy.ready;
  if (signals > 0) return;
  try {
    server = serve(proxy, config.serve);
    await server.ready;
  } catch (error) {
    const { HOST, PORT } = config.values;
    const reason = messageOf(error);
    const { withAdvice } = await import("./listen_advice.ts");
    printError(`cannot listen on ${HOST}:${PORT}: ${withAdvice(reason)}`);
    exit(1);
  }
  const count = proxy.pool.size;
  writeLine(
    "err",
    `sluice ${VERSION} listening on ${server.url} ` +
      `(${count} ${count === 1 ? "backend" : "backends"})`,
  );
  if (server.adminUrl !== undefined) {
    printError(`dashboard at ${server.adminUrl}/`);
  }
  if (server.redirectUrl !== undefined) {
    printError(`redirecting from ${server.redirectUrl}/`);
  }
  certificate = watchCertificate(server, config, texts, printError);
}
