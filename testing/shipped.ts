/**
 * Which files are published, as `deno.json` says it.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };

const { include, exclude } = config.publish;

/** Patterns of `exclude`: `*_test.ts` in any folder is any path that ends so. */
const EXCLUDED = exclude.map((pattern) => pattern.replace(/^\*\*\/\*?/, ""));

/** Whether a path from the root is that of a module that is published. */
export function isShipped(path: string): boolean {
  return path.endsWith(".ts") && isPublished(path);
}

/** Whether a path from the root is that of a document that is published. */
export function isDocument(path: string): boolean {
  return path.endsWith(".md") && isPublished(path);
}

function isPublished(path: string): boolean {
  return include.some((entry) =>
    entry.endsWith("/") ? path.startsWith(entry) : path === entry
  ) &&
    !EXCLUDED.some((end) => path.endsWith(end));
}
