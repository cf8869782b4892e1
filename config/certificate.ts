/**
 * The facts in a server's certificate: its names, and how long it is valid.
 *
 * @module
 */

import type { X509Certificate } from "node:crypto";
import type { Result } from "./grammar.ts";
import type { BackendTlsOptions, TlsOptions } from "./options.ts";
import {
  placeOfKey,
  readCertificates,
  readPrivateKey,
  validityFault,
} from "./pem.ts";

/** Facts about a certificate. None of them is secret. */
export interface CertificateFacts {
  /** Names and addresses that it is valid for. */
  readonly names: readonly string[];
  /** Start and end of its validity, in milliseconds since 1970. */
  readonly validFrom: number;
  readonly expiresAt: number;
}

/** A certificate with its matching key, and the certificate's facts. */
export interface ReadPair {
  /** Both as PEM, without any other text of their files. */
  readonly tls: TlsOptions;
  readonly facts: CertificateFacts;
}

/** What the two files are called in messages. */
export interface PairNames {
  readonly cert: string;
  readonly key: string;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Days before the end from which on there is a warning. */
const SOON_DAYS = 14;

/** Names that are shown; a certificate may have hundreds. */
const MAX_SHOWN_NAMES = 5;

/**
 * Reads a certificate and its key, or says why they cannot be used, without
 * repeating any of their content.
 *
 * @param tryTls Returns the reason why this runtime cannot use them, if any.
 */
export function readPair(
  tls: TlsOptions,
  names: PairNames,
  tryTls: (tls: BackendTlsOptions) => string | undefined,
): Result<ReadPair> {
  const certs = readCertificates(tls.cert);
  if ("wanted" in certs) return { wanted: `${names.cert} ${certs.wanted}` };
  const key = readPrivateKey(tls.key);
  if ("wanted" in key) return { wanted: `${names.key} ${key.wanted}` };
  if (placeOfKey(certs.value, key.value) !== 0) {
    return {
      wanted:
        `${names.key} does not belong to the first certificate in ${names.cert}`,
    };
  }
  const pair = { cert: certs.value.pem, key: key.value.pem };
  const reason = tryTls(pair);
  if (reason !== undefined) {
    return { wanted: `${names.cert} cannot be used: ${reason}` };
  }
  return { value: { tls: pair, facts: factsOf(certs.value.list[0]!) } };
}

/** The facts of the first certificate in a PEM text, if there is one. */
export function certificateFacts(pem: string): CertificateFacts | undefined {
  const certs = readCertificates(pem);
  return "wanted" in certs ? undefined : factsOf(certs.value.list[0]!);
}

/** A certificate as text: `a.test, b.test, valid until … (90 days)`. */
export function certificateText(
  { names, validFrom, expiresAt }: CertificateFacts,
  now: number,
): string {
  const shown = names.slice(0, MAX_SHOWN_NAMES);
  const more = names.length - shown.length;
  const fault = validityFault({
    validFrom: new Date(validFrom).toISOString(),
    validTo: new Date(expiresAt).toISOString(),
  }, now);
  return [
    ...shown,
    ...more > 0 ? [`${more} more`] : [],
    fault ?? `valid until ${day(expiresAt)} (${daysUntil(expiresAt, now)})`,
  ].join(", ");
}

/** The warning that a certificate expires soon, if it does. */
export function expiryWarning(
  { expiresAt }: CertificateFacts,
  now: number,
): string | undefined {
  if (expiresAt < now || expiresAt - now >= SOON_DAYS * DAY_MS) {
    return undefined;
  }
  return `the certificate expires on ${day(expiresAt)}, in ${
    daysUntil(expiresAt, now)
  }`;
}

function factsOf(certificate: X509Certificate): CertificateFacts {
  const { subject, subjectAltName = "", validFrom, validTo } = certificate;
  const names = subjectAltName.split(", ").flatMap((entry) =>
    /^(?:DNS|IP Address):(.+)$/.exec(entry)?.[1] ?? []
  );
  // Clients no longer use the common name, but it identifies the certificate.
  const common = /^CN=(.+)$/m.exec(subject)?.[1];
  return {
    names: names.length > 0 || common === undefined ? names : [common],
    validFrom: Date.parse(validFrom),
    expiresAt: Date.parse(validTo),
  };
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function daysUntil(ms: number, now: number): string {
  const days = Math.floor((ms - now) / DAY_MS);
  return days === 1 ? "1 day" : `${days} days`;
}
