/**
 * Reads settings without a process, for unit tests.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  type Config,
  readSettings,
  type Surroundings,
  type UsableConfig,
} from "../config/config.ts";

/** A valid backend. */
export const A = "http://127.0.0.1:3001";

/** Reads settings, by default as on Deno. */
export function settings(
  env: Readonly<Record<string, string>>,
  args: readonly string[] = [],
  files: Readonly<Record<string, string>> = {},
  surroundings: Surroundings = {},
): Config {
  return readSettings(args, (name) => env[name], Object.keys(env), (path) => {
    const text = files[path];
    if (text === undefined) throw new Error(`No such file: ${path}`);
    return text;
  }, { onDeno: true, ...surroundings });
}

/** Reads settings that have to be usable. */
export function usable(
  ...given: Parameters<typeof settings>
): UsableConfig {
  const config = settings(...given);
  assert.ok("proxy" in config, JSON.stringify(config));
  return config;
}

/** Reads settings that have to be wrong. */
export function faults(
  ...given: Parameters<typeof settings>
): readonly string[] {
  const config = settings(...given);
  assert.ok(config.kind === "faults", JSON.stringify(config));
  return config.faults;
}
