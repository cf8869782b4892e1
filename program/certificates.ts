/**
 * `TLS_CERT` and `TLS_KEY`: read again when the files change and on SIGHUP, and
 * used for new connections.
 *
 * @module
 */

import { messageOf } from "../base/text.ts";
import {
  certificateFacts,
  certificateText,
  expiryWarning,
  readPair,
} from "../config/certificate.ts";
import type { UsableConfig } from "../config/config.ts";
import type { TlsOptions } from "../config/options.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { FileWatch } from "../discovery/file_watch.ts";
import { tlsFault } from "../runtime/tls.ts";
import type { ProxyServer } from "./serve.ts";

/** Names of the two in the log. */
const NAMES = { cert: "TLS_CERT", key: "TLS_KEY" };

/** Options for {@linkcode CertificateFiles}. */
export interface CertificateFilesOptions {
  /** Paths of certificate and key. */
  paths: readonly [cert: string, key: string];
  /** Their texts at start. */
  texts: readonly [cert: string, key: string];
  /**
   * Uses another pair for new connections; rejects with the reason if it
   * cannot.
   */
  set: (tls: TlsOptions) => Promise<void>;
  /** Takes a line for the log. */
  log: (line: string) => void;
  /** Time and timers. */
  clock: Clock;
  /** Milliseconds since 1970. @default {Date.now} */
  now?: () => number;
  /** Reads a file as text. Default: from the file system. */
  read?: (path: string) => Promise<string>;
}

/** Watches the two files. */
export class CertificateFiles {
  readonly #options: CertificateFilesOptions;
  readonly #watch: FileWatch;
  /** The pair that new connections get. */
  #shown: string;
  /** Applies new pairs one at a time. */
  #turn: Promise<void> = Promise.resolve();

  /** Starts watching. */
  constructor(options: CertificateFilesOptions) {
    const { paths, texts, log, clock, read } = options;
    this.#options = options;
    this.#shown = keyOf(...texts);
    this.#watch = new FileWatch({
      paths,
      texts,
      changed: ([cert = "", key = ""]) => {
        this.#turn = this.#turn.then(() => this.#apply({ cert, key }));
      },
      failed: (reason) =>
        log(
          `TLS_CERT and TLS_KEY cannot be read (${reason}): ` +
            "the old certificate stays",
        ),
      clock,
      read,
    });
  }

  /** Reads the files now; resolves when the result is in effect. */
  async reload(): Promise<void> {
    await this.#watch.reload();
    await this.#turn;
  }

  /** Stops watching. */
  stop(): void {
    this.#watch.stop();
  }

  async #apply(tls: TlsOptions): Promise<void> {
    const { set, log, now = Date.now } = this.#options;
    const pair = readPair(tls, NAMES, tlsFault);
    if ("wanted" in pair) {
      log(`${pair.wanted}: the old certificate stays`);
      return;
    }
    const { facts } = pair.value;
    const text = certificateText(facts, now());
    const key = keyOf(tls.cert, tls.key);
    if (key === this.#shown) {
      log(`TLS_CERT read again, unchanged: ${text}`);
      return;
    }
    try {
      await set(pair.value.tls);
    } catch (error) {
      const reason = messageOf(error);
      log(
        `TLS_CERT cannot be replaced while running (${reason}): ` +
          "the old certificate stays until a restart",
      );
      return;
    }
    this.#shown = key;
    log(`TLS_CERT read, used for new connections: ${text}`);
  }
}

function keyOf(cert: string, key: string): string {
  return `${cert}\n${key}`;
}

/** Watches the certificate files of a server, if it has any. */
export function watchCertificate(
  server: ProxyServer,
  { serve, values }: UsableConfig,
  texts: ReadonlyMap<string, string>,
  log: (line: string) => void,
): CertificateFiles | undefined {
  const { TLS_CERT: cert, TLS_KEY: key } = values;
  if (serve.tls === undefined || cert === undefined || key === undefined) {
    return undefined;
  }
  return new CertificateFiles({
    paths: [cert, key],
    texts: [texts.get(cert) ?? "", texts.get(key) ?? ""],
    set: (tls) => server.setCertificate(tls),
    log,
    clock: systemClock,
  });
}

/** For `--check`: warnings about certificates that expire soon. */
export function expiryRemarks(
  values: UsableConfig["values"],
  texts: ReadonlyMap<string, string>,
  now: number,
): string[] {
  return (["TLS_CERT", "BACKEND_CERT"] as const).flatMap((name) => {
    const path = values[name] ?? "";
    const facts = certificateFacts(texts.get(path) ?? "");
    const warning = facts && expiryWarning(facts, now);
    return warning === undefined ? [] : `${name}: "${path}": ${warning}`;
  });
}
