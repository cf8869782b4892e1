/**
 * Attacks on a proxy that serves other clients: each is a separate process, for
 * so many seconds.
 *
 * @module
 */

import { inPath } from "../../testing/tools.ts";
import type { Runtime } from "../harness/proxy.ts";

/** An attack. */
export interface Attack {
  /** Its name for the tests and the task, one word. */
  readonly name: string;
  readonly what: string;
  /** Over HTTP/2 and TLS, which Deno's server supports. */
  readonly http2?: true;
  /** Programs that it needs. */
  readonly needs?: string;
  /** Command and arguments. */
  command(port: number, seconds: number, scale: number): string[];
}

function deno(program: string, ...args: (string | number)[]): string[] {
  const path = new URL(program, import.meta.url).pathname;
  return [
    Deno.execPath(),
    "run",
    "-A",
    decodeURIComponent(path),
    ...args.map(String),
  ];
}

function slow(
  name: string,
  what: string,
  ...args: (string | number)[]
): Attack {
  return {
    name,
    what,
    needs: "slowhttptest",
    command: (port, seconds, scale) => [
      "slowhttptest",
      ...["-l", String(seconds), "-c", String(500 * scale), "-v", "0"],
      ...["-r", "200", "-p", "20", ...args.map(String)],
      ...["-u", `http://127.0.0.1:${port}${name === "read" ? "/large" : "/"}`],
    ],
  };
}

function flood(name: string, what: string, rate: number): Attack {
  return {
    name,
    what,
    http2: true,
    command: (port, seconds, scale) =>
      deno("flood.ts", name, port, seconds, rate * scale),
  };
}

function holding(name: string, what: string, count: number): Attack {
  return {
    name,
    what,
    command: (port, seconds, scale) =>
      deno("holding.ts", port, count * scale, `/${name}`, seconds),
  };
}

/** All of them. */
export const ATTACKS: readonly Attack[] = [
  slow("headers", "500 clients send a field every second", "-H", "-i", 1),
  slow(
    "body",
    "500 clients send 10 bytes of a body every second",
    ...["-B", "-i", 1, "-s", 8192, "-x", 10],
  ),
  slow(
    "read",
    "500 clients read 32 bytes of 256 KB every second, by a small window",
    ...["-X", "-n", 1, "-z", 32, "-w", 512, "-y", 1024],
  ),
  holding("stuck", "500 requests that the backend never answers", 500),
  holding("dribble", "300 answers of 10 bytes a second", 300),
  flood("resets", "2,000 requests a second, each reset at once", 2_000),
  flood("continuations", "500 CONTINUATION frames of 16 KB a second", 500),
  flood("pings", "2,000 PING frames a second, no answer read", 2_000),
  flood("settings", "2,000 SETTINGS frames a second, no answer read", 2_000),
  flood("windows", "100 answers of 256 KB without a window", 2_000),
  flood("empties", "2,000 empty DATA frames a second", 2_000),
];

/** Why an attack cannot be made here; undefined if it can. */
export function hindrance(
  attack: Attack,
  runtime: Runtime,
): string | undefined {
  if (attack.http2 && runtime === "bun") return "no HTTP/2 on Bun";
  const { needs } = attack;
  return needs !== undefined && inPath(needs) === undefined
    ? `${needs} not installed`
    : undefined;
}
