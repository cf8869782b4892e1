/**
 * The program: settings in, a server up, signals obeyed.
 *
 * @module
 */

import { Backend } from "../balancer.ts";
import {
  readBackends,
  readSettings,
  type UsableConfig,
} from "../config/config.ts";
import type { BackendOptions, ServeOptions } from "../config/options.ts";
import { helpText, SETTING_NAMES } from "../config/settings.ts";
import {
  type CheckRules,
  checkText,
  isWell,
  permissionFlags,
} from "../observe/check.ts";
import { BackendsFile } from "../runtime/backends_file.ts";
import { systemClock } from "../runtime/clock.ts";
import {
  args,
  env,
  envNames,
  exit,
  hushSignalRemark,
  liftBunLimit,
  onSignal,
  readText,
  surviveRejections,
  writeLine,
  writeText,
} from "../runtime/process.ts";
import { findingOf } from "../runtime/finding.ts";
import { systemLookup } from "../runtime/resolve.ts";
import { transport as transportOf } from "../runtime/runtime.ts";
import { programFolder, workersFault, workersOf } from "../runtime/workers.ts";
import {
  type CertificateFiles,
  expiryRemarks,
  watchCertificate,
} from "./certificates.ts";
import {
  createProxy,
  entryOf,
  insides,
  type Proxy,
  resolveFault,
  statusMatcher,
} from "./create.ts";
import { serve, type Server } from "./serve.ts";
import { VERSION } from "./version.ts";

/** What the program writes to standard error. */
export function say(line: string): void {
  writeLine("err", `sluice: ${line}`);
}

/** Takes a new text of `BACKENDS_FILE`, or says why it cannot. */
async function reload(
  proxy: Proxy,
  text: string,
  serve: ServeOptions,
): Promise<void> {
  const { backends, faults } = readBackends("BACKENDS_FILE", text, serve, env);
  const all = faults.concat(
    backends.flatMap(({ url, resolve }) => resolveFault(url, resolve) ?? [])
      .map((fault) => `BACKENDS_FILE: ${fault}`),
  );
  if (all.length > 0) {
    for (const fault of all) say(fault);
    say("BACKENDS_FILE is not used: the backends stay as they are");
    return;
  }
  const entries = backends.map((init, i) => entryOf(init, "backend", i));
  const { added, removed, changed } = await insides.get(proxy)!.members
    .become(entries);
  const { size } = proxy.pool;
  say(
    `BACKENDS_FILE read: ${size} ${size === 1 ? "backend" : "backends"} ` +
      `(${added} added, ${removed} removed, ${changed} changed)`,
  );
}

/** `--check`: asks each backend once and says what it heard; the exit code. */
async function check(
  { proxy, serve, values }: UsableConfig,
  texts: ReadonlyMap<string, string>,
): Promise<0 | 1> {
  const health = proxy.health || {};
  const rules: CheckRules = {
    path: proxy.health === false ? "/" : health.path ?? "/health",
    probes: proxy.health !== false,
    passes: statusMatcher(health.status ?? "200-399"),
    lenient: health.path === undefined,
  };
  const transport = transportOf({
    tls: proxy.backendTls,
    userAgent: `sluice/${VERSION}`,
  });
  const listed: readonly BackendOptions[] = proxy.backends;
  const backends = listed.map((init) => new Backend(init));
  const findings = await Promise.all(
    backends.map((backend) =>
      findingOf(backend, {
        transport,
        lookup: systemLookup,
        path: rules.path,
        timeoutMs: health.timeoutMs ?? 2_000,
        userAgent: `sluice/${VERSION}`,
      })
    ),
  );
  transport.close();
  writeText("out", checkText(findings, rules));
  const diverting = PROXY_VARIABLES.filter((name) => env(name));
  if (diverting.length > 0) {
    const names = diverting.join(", ");
    writeLine("out", `${names}: is set; NO_PROXY keeps these backends from it`);
  }
  for (const line of expiryRemarks(values, texts, Date.now())) {
    writeLine("out", line);
  }
  const at = (host = "", port = "") =>
    `${host.includes(":") ? `[${host}]` : host}:${port}`;
  // With TLS a free port is found before it is listened on, and not known now.
  const listens = [
    serve.tls !== undefined && values.PORT === "0"
      ? at(values.HOST).slice(0, -1)
      : at(values.HOST, values.PORT),
  ];
  if (serve.admin) listens.push(at(values.ADMIN_HOST, values.ADMIN_PORT));
  if (serve.redirectPort !== undefined) {
    listens.push(at(values.HOST, values.REDIRECT_PORT));
  }
  const variables = [...SETTING_NAMES, "NO_PROXY", "no_proxy"];
  const folder = workersOf(serve.workers) > 1 ? programFolder() : undefined;
  const files = [...texts.keys()];
  const flags = permissionFlags({
    listens,
    backends,
    // What a name will stand for cannot be said now.
    anywhere: listed.some(({ resolve }) => resolve === true),
    variables: variables.filter((name) => env(name)),
    files: folder === undefined ? files : [...files, folder],
  });
  writeText(
    "out",
    `\nThe narrowest permissions on Deno:\ndeno run ${
      flags.join(" ")
    } mod.ts\n`,
  );
  return findings.every((one) => isWell(one, rules)) ? 0 : 1;
}

/** Variables that would divert requests, see `config/no_proxy.ts`. */
const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
  .flatMap((name) => [name, name.toLowerCase()]);

/** The program: settings in, a server up, signals obeyed. */
export async function main(): Promise<void> {
  const texts = new Map<string, string>();
  const config = readSettings(args(), env, envNames(), (path) => {
    const text = readText(path);
    texts.set(path, text);
    return text;
  });
  if (config.kind === "faults") {
    for (const fault of config.faults) writeLine("err", fault);
    return exit(2);
  }
  if (!("proxy" in config)) {
    const help = config.kind === "help";
    writeText("out", help ? helpText(VERSION) : `sluice ${VERSION}\n`);
    return exit(0);
  }
  if (config.kind === "check") {
    return exit(await check(config, texts));
  }
  const listed: readonly BackendOptions[] = config.proxy.backends;
  const unresolved = listed.flatMap(({ url, resolve }) =>
    resolveFault(url, resolve) ?? []
  );
  if (unresolved.length > 0) {
    const name = config.backendsFile === undefined
      ? "BACKENDS"
      : "BACKENDS_FILE";
    for (const fault of unresolved) writeLine("err", `${name}: ${fault}`);
    return exit(2);
  }
  const workers = workersFault(
    config.serve.workers,
    config.serve.tls !== undefined,
  );
  if (workers !== undefined) {
    writeLine("err", `WORKERS: ${workers}`);
    return exit(2);
  }
  liftBunLimit(say);
  surviveRejections(say);
  hushSignalRemark();
  const proxy = createProxy(config.proxy);
  let server: Server | undefined;
  let signals = 0;
  const end = () => {
    if (++signals > 1) exit(1);
    say("draining; a second signal ends it at once");
    (server?.stop() ?? proxy.stop()).then(() => exit(0));
  };
  onSignal("SIGTERM", end);
  onSignal("SIGINT", end);
  const path = config.backendsFile;
  const file = path === undefined ? undefined : new BackendsFile({
    path,
    text: texts.get(path) ?? "",
    changed: (text) => reload(proxy, text, config.serve),
    log: say,
    clock: systemClock,
  });
  let certificate: CertificateFiles | undefined = undefined;
  onSignal("SIGHUP", () => {
    certificate?.reload();
    if (file !== undefined) file.reload();
    else if (config.serve.tls === undefined) {
      say("SIGHUP changes nothing: the backends come from BACKENDS");
    }
  });
  await proxy.ready;
  if (signals > 0) return;
  try {
    server = serve(proxy, config.serve);
    await server.ready;
  } catch (error) {
    const { HOST, PORT } = config.values;
    const reason = error instanceof Error ? error.message : String(error);
    say(`cannot listen on ${HOST}:${PORT}: ${reason}`);
    exit(1);
  }
  const count = proxy.pool.size;
  writeLine(
    "err",
    `sluice ${VERSION} listening on ${server.url} ` +
      `(${count} ${count === 1 ? "backend" : "backends"})`,
  );
  if (server.adminUrl !== undefined) say(`dashboard at ${server.adminUrl}/`);
  if (server.redirectUrl !== undefined) {
    say(`redirecting from ${server.redirectUrl}/`);
  }
  certificate = watchCertificate(server, config, texts, say);
}
