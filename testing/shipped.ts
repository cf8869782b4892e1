/**
 * Which files are published, according to `deno.json`.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };

const { include, exclude } = config.publish;

/** Patterns of `exclude`: `*_test.ts` in any folder is any path that ends so. */
const EXCLUDED = exclude.map((pattern) => pattern.replace(/^\*\*\/\*?/, ""));

/** Whether a path from the root is a published module. */
export function isShipped(path: string): boolean {
  return path.endsWith(".ts") && isPublished(path);
}

/** Whether a path from the root is a published document. */
export function isDocument(path: string): boolean {
  return path.endsWith(".md") && isPublished(path);
}

function isPublished(path: string): boolean {
  return include.some((entry) =>
    entry.endsWith("/") ? path.startsWith(entry) : path === entry
  ) &&
    !EXCLUDED.some((end) => path.endsWith(end));
}
