/**
 * How a value is shown in a fault: one fault is one line, and a terminal may not
 * be steered by what a variable holds.
 *
 * @module
 */

/**
 * A value in quotes, see {@linkcode oneLine}. Credentials are hidden wherever a
 * URL was put: `HOST=http://user:password@host`.
 */
export function quote(text: string): string {
  return JSON.stringify(oneLine(text.replace(/\/\/.*@/gs, "//***@")));
}

/** A text without line breaks, controls and invisible characters, cut at 200. */
export function oneLine(text: string): string {
  const flat = text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, " ").trim();
  return flat.length > 200 ? `${flat.slice(0, 200)}…` : flat;
}

/** What was thrown, in words. It can be anything, also what has none. */
export function wordsOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return "an error without words";
  }
}
