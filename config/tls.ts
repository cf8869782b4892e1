/**
 * The TLS files among the settings: read, checked, and reported by name if they
 * cannot be used.
 *
 * @module
 */

import { quote } from "./fault.ts";
import {
  type Certificates,
  placeOfKey,
  type PrivateKey,
  readCertificates,
  readPrivateKey,
  validityFault,
} from "./pem.ts";
import type { TlsOptions } from "./options.ts";
import { labelOf, type Reading, readText, refuse } from "./reading.ts";
import type { SettingName } from "./settings.ts";

/** The content of the TLS files, in place of their paths. */
export function readTlsFiles(
  reading: Reading,
): Partial<Record<SettingName, string | undefined>> {
  const front = readPair(reading, "TLS_CERT", "TLS_KEY");
  const authorities = readAuthorities(reading);
  const back = readPair(reading, "BACKEND_CERT", "BACKEND_KEY");
  return {
    TLS_CERT: front?.cert,
    TLS_KEY: front?.key,
    BACKEND_CA: authorities,
    BACKEND_CERT: back?.cert,
    BACKEND_KEY: back?.key,
  };
}

function readAuthorities(reading: Reading): string | undefined {
  const name = "BACKEND_CA";
  const found = certificatesOf(reading, name);
  if (found === undefined) return undefined;
  const reason = reading.tryTls({ ca: found.pem });
  if (reason !== undefined) refuse(reading, name, `cannot be used: ${reason}`);
  // A bundle may contain some expired certificates.
  const faults = found.list.map((one) => validityFault(one, reading.now));
  if (faults.every((fault) => fault !== undefined)) {
    warn(reading, name, `no certificate in it is valid: it ${faults[0]}`);
  }
  return found.pem;
}

/** A certificate and its key: both or neither. */
function readPair(
  reading: Reading,
  certName: SettingName,
  keyName: SettingName,
): TlsOptions | undefined {
  const { given, faults } = reading;
  if (given.has(certName) !== given.has(keyName)) {
    const [there, missing] = given.has(certName)
      ? [certName, keyName]
      : [keyName, certName];
    faults.push(
      `${missing}: is missing, but needed with ${labelOf(reading, there)}: ` +
        "set both or neither",
    );
    return undefined;
  }
  const certs = certificatesOf(reading, certName);
  const key = keyOf(reading, keyName);
  if (certs === undefined || key === undefined) return undefined;
  const wanted = pairFault(reading, certName, certs, key);
  if (wanted !== undefined) {
    refuse(reading, keyName, wanted);
    return undefined;
  }
  const validity = validityFault(certs.list[0]!, reading.now);
  if (validity !== undefined) {
    warn(reading, certName, `the certificate ${validity}`);
  }
  return { cert: certs.pem, key: key.pem };
}

/** Why the pair cannot be used, as the rest of a sentence about the key. */
function pairFault(
  reading: Reading,
  certName: SettingName,
  certs: Certificates,
  key: PrivateKey,
): string | undefined {
  const other = `${labelOf(reading, certName)} (${
    quote(reading.given.get(certName)!.text)
  })`;
  const place = placeOfKey(certs, key);
  if (place < 0) {
    return `does not belong to the certificate in ${other}: ` +
      "use the key that the certificate was made for";
  }
  if (place > 0) {
    return `belongs to certificate ${place + 1} in ${other}: ` +
      "put that one first, and its chain after it";
  }
  const reason = reading.tryTls({ cert: certs.pem, key: key.pem });
  return reason && `cannot be used with ${other}: ${reason}`;
}

function certificatesOf(
  reading: Reading,
  name: SettingName,
): Certificates | undefined {
  const text = readText(reading, name);
  if (text === undefined) return undefined;
  const result = readCertificates(text);
  if ("value" in result) return result.value;
  refuse(reading, name, result.wanted);
  return undefined;
}

function keyOf(reading: Reading, name: SettingName): PrivateKey | undefined {
  const text = readText(reading, name);
  if (text === undefined) return undefined;
  const result = readPrivateKey(text);
  if ("value" in result) return result.value;
  refuse(reading, name, result.wanted);
  return undefined;
}

function warn(reading: Reading, name: SettingName, text: string): void {
  const label = labelOf(reading, name);
  const file = quote(reading.given.get(name)!.text);
  reading.warnings.push(`${label}: ${file}: ${text}`);
}
