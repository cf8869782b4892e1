/**
 * Whether this process can open another file or socket.
 *
 * When a runtime connects itself, its error is right. But a name that is looked
 * up without a free descriptor gives "not found", and Bun's `node:net` reports
 * "refused" if it had no socket. A backend would be blamed for what this
 * process lacks.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";

/**
 * Whether no descriptor is left. Costs some microseconds, so it is for failures
 * only.
 *
 * It reads the memory usage, which opens a file in `/proc/self` and needs no
 * permission on Deno. Without a descriptor Deno returns 0 and Bun throws. On
 * systems without `/proc` the result is false.
 */
export function outOfDescriptors(): boolean {
  try {
    return builtin("node:process").memoryUsage.rss() === 0;
  } catch {
    return true;
  }
}
