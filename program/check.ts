/**
 * `--check`: probes each backend once and prints a table, hints, and the Deno
 * permissions that suffice.
 *
 * @module
 */

import { Backend } from "../balancer.ts";
import { urlHost } from "../base/text.ts";
import type { UsableConfig } from "../config/config.ts";
import { withoutQuery } from "../config/fault.ts";
import { FOREIGN_VARIABLES } from "../config/foreign.ts";
import type { Listener } from "../config/listener.ts";
import { checkedOption, defaultOf } from "../config/option.ts";
import { PROXY_VARIABLES } from "../config/no_proxy.ts";
import { listenersOf } from "../config/read_backends.ts";
import type { BackendOptions } from "../config/options.ts";
import { SETTING_NAMES } from "../config/settings.ts";
import {
  type CheckRules,
  checkText,
  isWell,
  permissionText,
} from "./check_text.ts";
import { painted, unpainted } from "./colours.ts";
import { checkBackend, type CheckResult } from "./check_backend.ts";
import { env, showsColours, writeLine, writeText } from "../runtime/process.ts";
import { systemLookup } from "../runtime/lookup.ts";
import { transportFor } from "../runtime/runtime.ts";
import {
  programFolder,
  sharesTlsByFlag,
  workersOf,
} from "../runtime/sharing.ts";
import { systemClock } from "../base/clock.ts";
import { expiryRemarks } from "./certificates.ts";
import { statusMatcher } from "./health.ts";
import { VERSION } from "./version.ts";

const USER_AGENT = `sluice/${VERSION}`;

/** Probes each backend once and prints the results; returns the exit code. */
export async function check(
  config: UsableConfig,
  texts: ReadonlyMap<string, string>,
): Promise<0 | 1> {
  const health = config.proxy.health || {};
  const path = config.proxy.health === false
    ? "/"
    : checkedOption("HEALTH_PATH", health.path) || "/";
  const rules: CheckRules = {
    path: withoutQuery(path),
    host: health.host,
    probes: config.proxy.health !== false,
    passes: statusMatcher(checkedOption("HEALTH_STATUS", health.status)),
    lenient: health.path === undefined,
  };
  const listed: readonly BackendOptions[] = config.proxy.backends;
  const backends = listed.map((init) => new Backend(init));
  const results = await checkAll(config, backends, path);
  writeText(
    "out",
    checkText(results, rules, showsColours() ? painted : unpainted),
  );
  for (const line of remarks(config, texts)) writeLine("out", line);
  const { serve } = config;
  const many = workersOf(checkedOption("WORKERS", serve.workers)) > 1;
  const folder = many ? programFolder() : undefined;
  const files = [...texts.keys()];
  const secure = serve.tls !== undefined;
  writeText(
    "out",
    permissionText({
      listens: listenersOf(serve).map((one, i) =>
        address(one, i === 0 && (many || secure))
      ),
      backends,
      // The addresses of a name are not known in advance.
      anywhere: listed.some(({ resolve }) => resolve === true),
      variables: [
        ...SETTING_NAMES.filter((name) => env(name)),
        ...FOREIGN_VARIABLES,
      ],
      files: folder === undefined ? files : [...files, folder],
      byFetch: (config.proxy.transport ?? defaultOf("TRANSPORT")) === "fetch",
      sharesTls: many && secure && sharesTlsByFlag(),
    }),
  );
  return results.every((one) => isWell(one, rules)) ? 0 : 1;
}

/** Probes all backends. */
async function checkAll(
  { proxy }: UsableConfig,
  backends: readonly Backend[],
  path: string,
): Promise<CheckResult[]> {
  const health = proxy.health || {};
  const timeoutMs = checkedOption("HEALTH_TIMEOUT", health.timeoutMs);
  const transport = transportFor(checkedOption("TRANSPORT", proxy.transport), {
    tls: proxy.backendTls,
    userAgent: USER_AGENT,
    connectTimeoutMs: timeoutMs,
    clock: systemClock,
  });
  const results = await Promise.all(
    backends.map((backend) =>
      checkBackend(backend, {
        transport,
        lookup: systemLookup,
        path,
        host: health.host,
        timeoutMs,
        userAgent: USER_AGENT,
      })
    ),
  );
  transport.close();
  return results;
}

/** Warnings about the settings. */
function remarks(
  { values, warnings }: UsableConfig,
  texts: ReadonlyMap<string, string>,
): string[] {
  const lines = [...warnings, ...expiryRemarks(values, texts, Date.now())];
  const diverting = PROXY_VARIABLES.filter((name) => env(name));
  if (diverting.length > 0) {
    const names = diverting.join(", ");
    lines.push(`${names}: is set, but NO_PROXY excludes these backends`);
  }
  return lines.length > 0 ? ["", ...lines] : lines;
}

/** A listener as a permission names it. */
function address({ host, port }: Listener, found: boolean): string {
  const name = urlHost(host);
  // The free port for workers or for TLS is chosen before listening, and is not
  // known here.
  return port === 0 && found ? name : `${name}:${port}`;
}
