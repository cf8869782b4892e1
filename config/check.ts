/**
 * The checks of options that come from code and not from text: a value that
 * cannot be used is refused by name, never quietly bent.
 *
 * @module
 */

import { quote } from "./fault.ts";
import type { Result } from "./grammar.ts";
import type { BackendTlsOptions } from "./options.ts";
import { placeOfKey, readCertificates, readPrivateKey } from "./pem.ts";

/**
 * Gives a number back if it is usable, or the default if there is none.
 *
 * @throws {RangeError} If it is not from `min` to `max`, not whole although it
 * has to be, or missing without a default.
 */
export function checkedNumber(
  name: string,
  value: number | undefined,
  { otherwise, min, max, whole = true, doing = "make a proxy" }: {
    otherwise?: number;
    min: number;
    max: number;
    whole?: boolean;
    /** What cannot be done with a wrong one. */
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
 * Gives a text back if its grammar takes it.
 *
 * @throws {TypeError} If it does not.
 */
export function checkedText<T>(
  name: string,
  value: string,
  parse: (text: string) => Result<T>,
  { shown = (text) => text, doing = "make a proxy" }: {
    /** What of it a message may show, beyond what no message shows. */
    shown?: ((text: string) => string) | undefined;
    /** What cannot be done with a wrong one. */
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
 * @param doing What cannot be done with wrong ones: `make a proxy`.
 * @param name The option that holds them.
 * @param tryTls Says why this runtime cannot use them, in its own words.
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
