/**
 * Texts that a reader takes too long for if it looks at anything more than a
 * fixed number of times.
 *
 * @module
 */

/** Inputs of about so many characters, from nothing in particular. */
export const HOSTILE: Readonly<Record<string, (size: number) => string>> = {
  "spaces": (size) => " ".repeat(size),
  "tabs and a letter": (size) => `${"\t".repeat(size)}x`,
  "commas": (size) => ",".repeat(size),
  "commas and spaces": (size) => ", ".repeat(size / 2),
  "spaces behind commas": (size) => `,${" ".repeat(size / 2)}`.repeat(2),
  "semicolons": (size) => ";".repeat(size),
  "semicolons and spaces": (size) => "; ".repeat(size / 2),
  "equals signs": (size) => "=".repeat(size),
  "pairs": (size) => "a=b;".repeat(size / 4),
  "quotes": (size) => '"'.repeat(size),
  "escaped quotes": (size) => '\\"'.repeat(size / 2),
  "angle brackets": (size) => "<".repeat(size),
  "tags": (size) => "</a>".repeat(size / 4),
  "brackets": (size) => "[".repeat(size),
  "parentheses": (size) => "(".repeat(size),
  "slashes": (size) => "/".repeat(size),
  "dot segments": (size) => "/..".repeat(size / 3),
  "dots": (size) => ".".repeat(size),
  "colons": (size) => ":".repeat(size),
  "digits": (size) => "1".repeat(size),
  "dotted digits": (size) => "1.".repeat(size / 2),
  "dotted digits and a letter": (size) => `:${"1.".repeat(size / 2)}x`,
  "digits and colons": (size) => "1:".repeat(size / 2),
  "hyphens": (size) => "-".repeat(size),
  "letters": (size) => "a".repeat(size),
  "words": (size) =>
    Array.from({ length: size / 8 }, (_, i) => `w${i}`.padEnd(7, "x")).join(),
  "percent signs": (size) => "%".repeat(size),
  "percent signs, encoded": (size) => "%25".repeat(size / 3),
  "percent signs, encoded over and over": (size) => `%${"25".repeat(size / 2)}`,
  "encoded dots": (size) => "%2e".repeat(size / 3),
  "path parameters": (size) => "/..;".repeat(size / 4),
  "schemes": (size) => "http://".repeat(size / 7),
  "addresses": (size) => "192.0.2.1, ".repeat(size / 11),
  "attributes": (size) => "; Path=/base".repeat(size / 12),
  "an attribute of spaces": (size) => `a; Path${" ".repeat(size)}=/base`,
  "a path of spaces": (size) => `a; Path=/base${" ".repeat(size)}x`,
};
