/**
 * Whether this process can open another file or socket.
 *
 * Where a runtime connects by itself, what it says when it cannot is trusted.
 * But a name that is looked up without a free descriptor "is not found", and
 * Bun's `node:net` says "refused" where it had no socket to connect with: taken
 * at its word, a backend would be blamed for what this process lacks.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";

/**
 * Says whether there is no descriptor left, right now. It costs some
 * microseconds, so it is for failures only.
 *
 * The question is put to the one thing that opens a file and that Deno asks no
 * permission for: how much memory is in use stands in `/proc/self`. Without a
 * descriptor Deno gives 0 and Bun throws. Where memory is asked for otherwise,
 * the answer is no.
 */
export function outOfDescriptors(): boolean {
  try {
    return builtin("node:process").memoryUsage.rss() === 0;
  } catch {
    return true;
  }
}
