/**
 * Checks of options that come from code, not from text: an invalid value is
 * refused by name, never changed silently.
 *
 * @module
 */

import { quote } from "./fault.ts";
import type { Result } from "./grammar.ts";
import type { BackendTlsOptions } from "./options.ts";
import { placeOfKey, readCertificates, readPrivateKey } from "./pem.ts";

/**
 * Returns the number if it is valid, or the default if it is absent.
 *
 * @throws {RangeError} If it is out of bounds, not whole although it must be,
 * or absent without a default.
 */
export function checkedNumber(
  name: string,
  value: number | undefined,
  { otherwise, min, max, whole = true, doing = "make a proxy" }: {
    otherwise?: number;
    min: number;
    max: number;
    whole?: boolean;
    /** What fails with a wrong value. */
    doing?: string;
  },
): number {
  if (value === undefined && otherwise !== undefined) return otherwise;
  if (
    typeof value !== "number" || !(value >= min && value <= max) ||
    (whole && !Number.isInteger(value))
  ) {
    throw new RangeError(
      `Cannot ${doing}: ${name} is ${value}, not ${
        whole ? "a whole number " : ""
      }from ${min} to ${max}`,
    );
  }
  return value;
}

/**
 * Returns the value that a text stands for.
 *
 * @throws {TypeError} If the grammar does not accept it.
 */
export function checkedText<T>(
  name: string,
  value: string,
  parse: (text: string) => Result<T>,
  { shown = (text) => text, doing = "make a proxy" }: {
    /** Hides further secrets of the text in a message. */
    shown?: ((text: string) => string) | undefined;
    /** What fails with a wrong value. */
    doing?: string;
  } = {},
): T {
  const result = parse(value);
  if ("value" in result) return result.value;
  throw new TypeError(
    `Cannot ${doing}: ${name} ${quote(shown(value))} ${result.wanted}`,
  );
}

/**
 * Checks certificates and keys.
 *
 * @param doing What fails with wrong ones: `make a proxy`.
 * @param name The option that holds them.
 * @param tryTls Returns the reason why this runtime cannot use them, if any.
 * @throws {TypeError} If they cannot be used. No part of a key is shown.
 */
export function checkTls(
  doing: string,
  name: string,
  tls: BackendTlsOptions,
  tryTls: (tls: BackendTlsOptions) => string | undefined,
): void {
  const refuse = (part: string, wanted: string): never => {
    throw new TypeError(`Cannot ${doing}: ${name}.${part} ${wanted}`);
  };
  const read = <T>(part: string, result: Result<T>): T =>
    "value" in result ? result.value : refuse(part, result.wanted);
  const { ca, cert, key } = tls;
  if (ca !== undefined) read("ca", readCertificates(ca));
  if ((cert === undefined) !== (key === undefined)) {
    refuse(cert === undefined ? "cert" : "key", "is missing: set both");
  }
  if (cert !== undefined && key !== undefined) {
    const certs = read("cert", readCertificates(cert));
    if (placeOfKey(certs, read("key", readPrivateKey(key))) !== 0) {
      refuse("key", `does not belong to the first certificate in ${name}.cert`);
    }
  }
  const reason = tryTls(tls);
  if (reason !== undefined) {
    throw new TypeError(`Cannot ${doing}: ${name} cannot be used: ${reason}`);
  }
}
