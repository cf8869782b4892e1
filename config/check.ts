/**
 * The checks of options that come from code and not from text: a value that
 * cannot be used is refused by name, never quietly bent.
 *
 * @module
 */

/**
 * Gives a number back if it is usable, or the default if there is none.
 *
 * @throws {RangeError} If it is not from `min` to `max`, or not whole although
 * it has to be.
 */
export function checkedNumber(
  name: string,
  value: number | undefined,
  { otherwise, min, max, whole = true }: {
    otherwise: number;
    min: number;
    max: number;
    whole?: boolean;
  },
): number {
  if (value === undefined) return otherwise;
  if (
    typeof value !== "number" || !(value >= min && value <= max) ||
    (whole && !Number.isInteger(value))
  ) {
    throw new RangeError(
      `Cannot make a proxy: ${name} is ${value}, not ${
        whole ? "a whole number " : ""
      }from ${min} to ${max}`,
    );
  }
  return value;
}

/**
 * Gives a text back if its grammar takes it.
 *
 * @throws {TypeError} If it does not.
 */
export function checkedText<T>(
  name: string,
  value: string,
  parse: (text: string) => { readonly value: T } | { readonly wanted: string },
): T {
  const result = parse(value);
  if ("value" in result) return result.value;
  throw new TypeError(
    `Cannot make a proxy: ${name} "${value}" ${result.wanted}`,
  );
}
