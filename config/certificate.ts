/**
 * What a server's certificate says: for whom it is, and until when.
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

/** What is told of a certificate. None of it is secret. */
export interface CertificateFacts {
  /** The names and addresses that it is for. */
  readonly names: readonly string[];
  /** When it begins and ceases to be valid, in milliseconds since 1970. */
  readonly validFrom: number;
  readonly expiresAt: number;
}

/** A certificate and its key that belong together, and what the former says. */
export interface ReadPair {
  /** The two without what stands around them in their files. */
  readonly tls: TlsOptions;
  readonly facts: CertificateFacts;
}

/** What the two are called in a message. */
export interface PairNames {
  readonly cert: string;
  readonly key: string;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Days before its end from which on a certificate is worth a warning. */
const SOON_DAYS = 14;

/** Names that are told; a certificate may have hundreds. */
const MOST_NAMES = 5;

/**
 * Reads a certificate and its key, or says why they cannot be used, without any
 * of what they hold.
 *
 * @param tryTls Says why this runtime cannot use them, in its own words.
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

/** What the first certificate in a PEM text says; nothing if there is none. */
export function certificateFacts(pem: string): CertificateFacts | undefined {
  const certs = readCertificates(pem);
  return "wanted" in certs ? undefined : factsOf(certs.value.list[0]!);
}

/** A certificate in a few words: `a.test, b.test, valid until … (90 days)`. */
export function certificateText(
  { names, validFrom, expiresAt }: CertificateFacts,
  now: number,
): string {
  const told = names.slice(0, MOST_NAMES);
  const more = names.length - told.length;
  const fault = validityFault({
    validFrom: new Date(validFrom).toISOString(),
    validTo: new Date(expiresAt).toISOString(),
  }, now);
  return [
    ...told,
    ...more > 0 ? [`${more} more`] : [],
    fault ?? `valid until ${day(expiresAt)} (${daysUntil(expiresAt, now)})`,
  ].join(", ");
}

/** Says that a certificate will not be valid for long, if so. */
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
  // Clients have not gone by it for long, but it tells people which one this is.
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
