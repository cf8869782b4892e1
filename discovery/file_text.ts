/**
 * Reads a file that the operator may replace at any time.
 *
 * What is there then may be anything: of a device, 4 GB were read until the
 * kernel ended the process, and a pipe was waited for without end.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";

/** Maximum size of a file: certificates and backends need much less. */
const MAX_BYTES = 1024 * 1024;

/**
 * Reads a file as text.
 *
 * @throws The system's error, or one that says what is there instead.
 */
export async function fileText(path: string): Promise<string> {
  const { readFile, stat } = builtin("node:fs/promises");
  const found = await stat(path);
  if (!found.isFile()) throw new Error(`${path} is not a regular file`);
  if (found.size > MAX_BYTES) throw new Error(`${path} is larger than 1 MB`);
  return await readFile(path, "utf8");
}
