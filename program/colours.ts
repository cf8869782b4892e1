/**
 * Colours for a terminal.
 *
 * @module
 */

/** How a text may be emphasized. */
export type Emphasis = "bold" | "good" | "bad";

/** Select Graphic Rendition codes (ECMA-48 §8.3.117). */
const CODES: Readonly<Record<Emphasis, number>> = {
  bold: 1,
  good: 32,
  bad: 31,
};

/** Emphasizes a text, or leaves it as it is. */
export type Paint = (text: string, emphasis: Emphasis) => string;

/** Leaves a text as it is. */
export const unpainted: Paint = (text) => text;

/** Emphasizes a text by escape sequences, which take no width. */
export const painted: Paint = (text, emphasis) =>
  `\x1b[${CODES[emphasis]}m${text}\x1b[0m`;
