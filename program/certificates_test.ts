import assert from "node:assert/strict";
import type { TlsOptions } from "../config/options.ts";
import { CERT, KEY, OTHER_CERT } from "../testing/certificates.ts";
import { FakeClock, settle } from "../testing/clock.ts";
import { CertificateFiles, expiryRemarks } from "./certificates.ts";

// The pair that is shown at start, as far as these tests go: any other text.
const START = ["start", "start"] as const;

function files() {
  const clock = new FakeClock();
  const texts: Record<string, string> = { cert: "start", key: "start" };
  const shown: TlsOptions[] = [];
  const log: string[] = [];
  let fault: Error | undefined;
  let wait: Promise<void> | undefined;
  const watcher = new CertificateFiles({
    paths: ["cert", "key"],
    texts: START,
    clock,
    now: () => Date.parse("2026-11-26T12:00:00Z"),
    set: async (tls) => {
      if (fault !== undefined) throw fault;
      shown.push(tls);
      await wait;
    },
    log: (line) => log.push(line),
    read: (path) => Promise.resolve(texts[path]!),
  });
  return {
    clock,
    texts,
    shown,
    log,
    watcher,
    fail: (error: Error | undefined) => fault = error,
    hold: (until: Promise<void>) => wait = until,
  };
}

Deno.test("CertificateFiles uses a new pair and logs its names and expiry", async () => {
  const { clock, texts, shown, log, watcher } = files();
  Object.assign(texts, { cert: CERT, key: KEY });
  await clock.advance(1_500);
  assert.deepEqual(shown, [{ cert: CERT, key: KEY }]);
  assert.deepEqual(log, [
    "TLS_CERT read, used for new connections: test 1, " +
    "valid until 2126-11-02 (36499 days)",
  ]);
  watcher.stop();
  assert.equal(clock.pending, 0);
});

Deno.test("CertificateFiles refuses a pair that does not fit with one line, and takes it once it does", async () => {
  const { clock, texts, shown, log, watcher } = files();
  Object.assign(texts, { cert: OTHER_CERT, key: KEY });
  await clock.advance(5_000);
  assert.deepEqual(shown, []);
  assert.deepEqual(log, [
    "TLS_KEY does not belong to the first certificate in TLS_CERT: " +
    "the old certificate stays",
  ]);
  texts["cert"] = CERT;
  await clock.advance(1_500);
  assert.equal(shown.length, 1);
  watcher.stop();
});

Deno.test("CertificateFiles#reload() says that nothing has changed, and shows nothing again", async () => {
  const { texts, shown, log, watcher } = files();
  Object.assign(texts, { cert: CERT, key: KEY });
  await watcher.reload();
  await watcher.reload();
  assert.equal(shown.length, 1);
  assert.match(
    log[1]!,
    /^TLS_CERT read again, unchanged: test 1, valid/,
  );
  watcher.stop();
});

Deno.test("CertificateFiles applies one pair after the other", async () => {
  const { texts, shown, log, watcher, hold } = files();
  Object.assign(texts, { cert: CERT, key: KEY });
  const { promise, resolve } = Promise.withResolvers<void>();
  hold(promise);
  const both = [watcher.reload(), watcher.reload()];
  await settle();
  assert.deepEqual([shown.length, log.length], [1, 0]);
  resolve();
  await Promise.all(both);
  assert.equal(shown.length, 1);
  assert.match(log[1]!, /^TLS_CERT read again, unchanged/);
  watcher.stop();
});

Deno.test("CertificateFiles says why a pair cannot be shown, and tries it again when asked", async () => {
  const { texts, shown, log, watcher, fail } = files();
  Object.assign(texts, { cert: CERT, key: KEY });
  fail(new Error("only on Linux"));
  await watcher.reload();
  assert.deepEqual(log, [
    "TLS_CERT cannot be replaced while running (only on Linux): " +
    "the old certificate stays until a restart",
  ]);
  fail(undefined);
  await watcher.reload();
  assert.equal(shown.length, 1);
  watcher.stop();
});

Deno.test("expiryRemarks() is empty for certificates that are valid for long", () => {
  const texts = new Map([["/cert", CERT]]);
  const remarks = (now: string) =>
    expiryRemarks({ TLS_CERT: "/cert" }, texts, Date.parse(now));
  assert.deepEqual(remarks("2126-10-18"), []);
  assert.deepEqual(remarks("2126-10-30"), [
    'TLS_CERT: "/cert": the certificate expires on 2126-11-02, in 3 days',
  ]);
  assert.deepEqual(expiryRemarks({}, texts, 0), []);
});
