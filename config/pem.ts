/**
 * Certificates and keys as PEM text (RFC 7468): checks before anything listens
 * or connects with them.
 *
 * Otherwise the runtime would report a wrong pair in its own words when the
 * proxy listens, and a wrong `BACKEND_KEY` only at the first request.
 *
 * @module
 */

import type { KeyObject, X509Certificate } from "node:crypto";
import { builtin } from "../base/builtin.ts";
import type { Result } from "./grammar.ts";

/** The certificates of a file. */
export interface Certificates {
  /** The certificates as PEM, without any other text of the file. */
  readonly pem: string;
  /** In file order: a server's own certificate comes first. */
  readonly list: readonly X509Certificate[];
}

/** The private key of a file. */
export interface PrivateKey {
  /** The key as PEM, without any other text of the file. */
  readonly pem: string;
  readonly key: KeyObject;
}

/** Reads the certificates in a text. */
export function readCertificates(text: string): Result<Certificates> {
  const blocks = blocksOf(text).filter(({ label }) => label === "CERTIFICATE");
  if (blocks.length === 0) return { wanted: holdsNo("CERTIFICATE") };
  const { X509Certificate } = builtin("node:crypto");
  const list: X509Certificate[] = [];
  for (const { pem } of blocks) {
    try {
      list.push(new X509Certificate(pem));
    } catch {
      const which = blocks.length > 1 ? ` (number ${list.length + 1})` : "";
      return {
        wanted: `contains a certificate that cannot be read${which}: ` +
          "export it again, as PEM",
      };
    }
  }
  return { value: { pem: joined(blocks), list } };
}

/** Reads the first private key in a text. */
export function readPrivateKey(text: string): Result<PrivateKey> {
  const block = blocksOf(text).find(({ label }) =>
    label.endsWith("PRIVATE KEY")
  );
  if (block === undefined) return { wanted: holdsNo("PRIVATE KEY") };
  // PKCS #8 marks this in the label, older forms in a line (RFC 1421 §4.6.1.1).
  if (
    block.label.startsWith("ENCRYPTED ") ||
    block.pem.includes("\nProc-Type: 4,ENCRYPTED")
  ) {
    return {
      wanted: "contains an encrypted key: export it without a passphrase",
    };
  }
  const { createPrivateKey } = builtin("node:crypto");
  try {
    return {
      value: { pem: joined([block]), key: createPrivateKey(block.pem) },
    };
  } catch {
    return {
      wanted: "contains a key that cannot be read: export it again, as PEM, " +
        "as RSA (2048 bits or more), P-256, P-384 or Ed25519",
    };
  }
}

/**
 * Index of the certificate that a key belongs to; -1 if there is none. A server
 * or client certificate must have index 0.
 */
export function placeOfKey(
  { list }: Certificates,
  { key }: PrivateKey,
): number {
  return list.findIndex((certificate) => certificate.checkPrivateKey(key));
}

/**
 * The fault that a certificate is not valid at a time (ms since 1970), if so.
 */
export function validityFault(
  { validFrom, validTo }: Pick<X509Certificate, "validFrom" | "validTo">,
  now: number,
): string | undefined {
  if (Date.parse(validTo) < now) return `expired on ${day(validTo)}`;
  if (Date.parse(validFrom) > now) {
    return `is not valid before ${day(validFrom)}`;
  }
  return undefined;
}

function day(date: string): string {
  return new Date(date).toISOString().slice(0, 10);
}

function holdsNo(label: string): string {
  return `contains no PEM: export it as PEM, with -----BEGIN ${label}-----`;
}

interface Block {
  readonly label: string;
  readonly pem: string;
}

function joined(blocks: readonly Block[]): string {
  return blocks.map(({ pem }) => `${pem}\n`).join("");
}

/** The PEM blocks of a text. */
function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  const [open, dashes] = ["-----BEGIN ", "-----"];
  for (let start = text.indexOf(open); start >= 0;) {
    const labelEnd = text.indexOf(dashes, start + open.length);
    if (labelEnd < 0) break;
    const label = text.slice(start + open.length, labelEnd);
    const mark = `-----END ${label}-----`;
    const end = text.indexOf(mark, labelEnd);
    // A truncated block is kept, so that the parser reports it.
    const stop = end < 0 ? text.length : end + mark.length;
    blocks.push({ label, pem: text.slice(start, stop) });
    start = text.indexOf(open, stop);
  }
  return blocks;
}
