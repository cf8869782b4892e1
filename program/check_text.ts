/**
 * `--check` as text: the response of each backend, hints, and the permissions
 * that suffice. Pure functions; the requests are sent elsewhere.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { plain } from "../base/text.ts";
import { adviceOn, passesLeniently } from "../health.ts";
import type { CheckResult } from "./check_backend.ts";
import { type Paint, unpainted } from "./colours.ts";

/** How a response is judged. */
export interface CheckRules {
  /** Request path as shown; `/` without probes. */
  path: string;
  /** `Host` to send, if it is not the backend's own. */
  host?: string | undefined;
  /** Whether there are probes; without them, any response passes. */
  probes: boolean;
  /** Whether a status is a pass. */
  passes: (status: number) => boolean;
  /** Whether every status under 500 passes, since no path is configured. */
  lenient: boolean;
}

/** Whether a backend would count as up. */
export function isWell({ answer }: CheckResult, rules: CheckRules): boolean {
  if (answer === undefined) return false;
  return !rules.probes || rules.passes(answer.status) ||
    (rules.lenient && passesLeniently(answer.status));
}

/** The table, followed by the hints. */
export function checkText(
  results: readonly CheckResult[],
  rules: CheckRules,
  paint: Paint = unpainted,
): string {
  const rows = results.map((result) => [
    named(result.backend),
    isWell(result, rules) ? "ok" : "failing",
    result.error ?? `status ${result.answer?.status}`,
    `${result.ms.toFixed(1)} ms`,
    result.addresses.join(" ") || "-",
  ]);
  const table = [["Backend", "", "Answer", "Time", "Address"], ...rows]
    .map((row) => row.map(plain));
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...table.map((row) => row[column]!.length))
  );
  const lines = table.map((row) =>
    row.map((cell, column) => {
      const width = widths[column] ?? 0;
      // Align numbers to the right.
      const text = column === 3 ? cell.padStart(width) : cell.padEnd(width);
      // Padded before: a colour would count as width.
      if (column !== 1 || cell === "") return text;
      return paint(text, cell === "ok" ? "good" : "bad");
    }).join("  ").trimEnd()
  );
  const hints = results.flatMap((result) =>
    hintsFor(result, rules).map((hint) =>
      plain(`${result.backend.label}: ${hint}`)
    )
  );
  const host = rules.host === undefined ? "" : `, Host ${rules.host}`;
  return [
    plain(`GET ${rules.path}${host}`),
    "",
    ...lines,
    ...hints.length ? [""] : [],
    ...hints,
  ].join("\n") + "\n";
}

/** A backend's URL, after its name if it has one. */
function named({ name, url }: Backend): string {
  return name === undefined ? url : `${name} ${url}`;
}

/** Hints about a backend, with what to do. */
export function hintsFor(result: CheckResult, rules: CheckRules): string[] {
  const { backend, answer, addresses } = result;
  const hints: string[] = [];
  if (addresses.length > 1) {
    hints.push(
      `resolves to ${addresses.length} addresses, and each connection uses ` +
        "one of them: write resolve after it to make each a backend",
    );
  }
  if (answer === undefined) {
    hints.push(silenceHint(result));
    return hints;
  }
  const { status, headers } = answer;
  const leniently = isWell(result, rules) && !rules.passes(status);
  if (rules.probes && (leniently || status === 404)) {
    hints.push(
      `answers ${status} on ${rules.path}${
        leniently ? ", which counts as up" : ""
      }: ${adviceOn(status)}`,
    );
  } else if (!isWell(result, rules)) {
    hints.push(
      `status ${status} does not pass: fix it, or set HEALTH_STATUS or HEALTH_PATH`,
    );
  }
  const location = headers.get("location");
  if (status >= 300 && status <= 399 && location !== null) {
    const elsewhere = leadsElsewhere(location, backend);
    hints.push(
      `redirects to ${location}` +
        (elsewhere
          ? ", which is not this proxy: clients would bypass it. If the backend expects its own Host, set HOST_HEADER=backend"
          : ": set HEALTH_PATH to a path that answers without a redirect"),
    );
  }
  const coding = headers.get("content-encoding");
  if (coding !== null) {
    hints.push(
      `compresses its answers (${coding}): they are passed on as they are`,
    );
  }
  if (/(?:^|,)\s*close\s*(?:,|$)/i.test(headers.get("connection") ?? "")) {
    hints.push(
      "closes the connection after each answer: enable keep-alive there to save a handshake per request",
    );
  }
  return hints;
}

/** What to do about a backend without a response. */
function silenceHint({ error = "", errorType }: CheckResult): string {
  if (errorType !== "tls_certificate_error") {
    return "does not answer: check that it runs and can be reached from here";
  }
  if (/CA certificate/.test(error)) {
    return "Deno accepts no server certificate with CA:TRUE, not even one " +
      "in BACKEND_CA: make one with CA:FALSE";
  }
  if (/unknown authority/.test(error)) {
    return "set BACKEND_CA to its authority, and check that the backend sends " +
      "its whole chain";
  }
  return "renew its certificate, or use the name that it is for";
}

/** Whether a redirect leads away from the backend. */
function leadsElsewhere(location: string, backend: Backend): boolean {
  try {
    return new URL(location, `${backend.origin}/`).origin !== backend.origin;
  } catch {
    return true;
  }
}

/** What the program needs permissions for. */
export interface Needs {
  /** Listeners, as `host:port`. */
  listens: readonly string[];
  /** The backends it connects to. */
  backends: readonly Backend[];
  /** Whether it connects to addresses that are not known in advance. */
  anywhere: boolean;
  /** Variables that it reads. */
  variables: readonly string[];
  /** Files that it reads. */
  files: readonly string[];
  /** Whether Deno's `fetch` sends the requests. */
  byFetch: boolean;
  /** Whether workers share a TLS port, which requires a flag. */
  sharesTls: boolean;
}

/** The narrowest permissions, as flags of `deno run`. */
export function permissionFlags(needs: Needs): string[] {
  const { backends, files } = needs;
  const hosts = [...needs.listens];
  const sockets: string[] = [];
  for (const { origin, authority, socketPath } of backends) {
    if (socketPath !== undefined) sockets.push(socketPath);
    else if (/:\d+$/.test(authority)) hosts.push(authority);
    else {
      hosts.push(`${authority}:${origin.startsWith("https:") ? 443 : 80}`);
    }
  }
  return [
    "--no-prompt",
    ...(needs.sharesTls ? ["--unstable-net"] : []),
    // For a Unix socket, Deno's `fetch` also requires permission for the host
    // of the URL, which is any host that a client requests.
    ...(needs.anywhere || (needs.byFetch && sockets.length > 0)
      ? ["--allow-net"]
      : flag("net", [...hosts, ...sockets.map((path) => `unix:${path}`)])),
    ...flag("env", needs.variables),
    // A socket is a file that is read and written.
    ...flag("read", [...files, ...sockets]),
    ...flag("write", sockets),
  ];
}

/** The permissions as text: the command, and a note. */
export function permissionText(needs: Needs): string {
  const flags = permissionFlags(needs);
  const lines = [
    "",
    "The narrowest permissions on Deno:",
    `deno run ${flags.join(" ")} mod.ts`,
    "",
    flags.includes("--allow-net")
      ? "--allow-net lists no hosts, because backends with resolve or unix: need hosts that are not known in advance."
      : "A backend that BACKENDS_FILE or the admin API adds later is reached only if --allow-net names it.",
  ];
  return lines.map((line) => `${plain(line)}\n`).join("");
}

function flag(name: string, values: readonly string[]): string[] {
  if (values.length === 0) return [];
  // Deno expects a comma in a path to be doubled. Text with characters special
  // to a shell is quoted.
  const list = unique(values).map((value) => value.replaceAll(",", ",,"));
  const text = `--allow-${name}=${list.join(",")}`;
  return [
    /^[\w@%+=:,./\[\]-]*$/.test(text)
      ? text
      : `'${text.replaceAll("'", "'\\''")}'`,
  ];
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}
