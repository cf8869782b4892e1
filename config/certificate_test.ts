import assert from "node:assert/strict";
import {
  CERT,
  KEY,
  KEY_ENCRYPTED,
  OTHER_CERT,
} from "../testing/certificates.ts";
import {
  certificateFacts,
  certificateText,
  expiryWarning,
  readPair,
} from "./certificate.ts";

const NAMES = { cert: "TLS_CERT", key: "TLS_KEY" };
const DAY_MS = 24 * 60 * 60 * 1000;

Deno.test("readPair() reads a certificate and its key, and no more of their files", () => {
  const pair = readPair(
    { cert: `first\n${CERT}${OTHER_CERT}`, key: `a\n${KEY}b` },
    NAMES,
    () => undefined,
  );
  assert.ok("value" in pair);
  assert.deepEqual(pair.value.tls, { cert: CERT + OTHER_CERT, key: KEY });
  // It is for no name on the network: what people call it is all there is.
  assert.deepEqual(pair.value.facts.names, ["test 1"]);
  assert.ok(pair.value.facts.expiresAt > Date.parse("2126-01-01"));
});

Deno.test("readPair() names the file that cannot be used, and shows no content", () => {
  const cases: [cert: string, key: string, wants: RegExp][] = [
    ["", KEY, /^TLS_CERT contains no PEM/],
    [
      CERT.slice(0, 200),
      KEY,
      /^TLS_CERT contains a certificate that cannot be/,
    ],
    [CERT, "", /^TLS_KEY contains no PEM/],
    [CERT, CERT, /^TLS_KEY contains no PEM/],
    [CERT, KEY_ENCRYPTED, /^TLS_KEY contains an encrypted key/],
    [OTHER_CERT, KEY, /^TLS_KEY does not belong to the first certificate/],
    [OTHER_CERT + CERT, KEY, /^TLS_KEY does not belong to the first/],
  ];
  for (const [cert, key, wants] of cases) {
    const pair = readPair({ cert, key }, NAMES, () => undefined);
    assert.ok("wanted" in pair);
    assert.match(pair.wanted, wants);
    assert.doesNotMatch(pair.wanted, /MI[GIH][A-Za-z0-9+/]{8}/);
  }
  const pair = readPair({ cert: CERT, key: KEY }, NAMES, () => "too short");
  assert.deepEqual(pair, { wanted: "TLS_CERT cannot be used: too short" });
});

Deno.test("certificateText() shows names and days, and only a few of many names", () => {
  const now = Date.parse("2026-11-26T12:00:00Z");
  const facts = {
    names: ["a.test", "10.0.0.1"],
    validFrom: now - DAY_MS,
    expiresAt: now + 90.5 * DAY_MS,
  };
  assert.equal(
    certificateText(facts, now),
    "a.test, 10.0.0.1, valid until 2027-02-25 (90 days)",
  );
  const names = Array.from({ length: 300 }, (_, i) => `${i}.test`);
  assert.match(
    certificateText({ ...facts, names }, now),
    /^0\.test, .*, 4\.test, 295 more, valid/,
  );
  assert.equal(
    certificateText({ ...facts, expiresAt: now - 1 }, now),
    "a.test, 10.0.0.1, expired on 2026-11-26",
  );
  assert.equal(
    certificateText({ ...facts, validFrom: now + DAY_MS }, now),
    "a.test, 10.0.0.1, is not valid before 2026-11-27",
  );
});

Deno.test("expiryWarning() warns under 14 days, but not of an expired certificate", () => {
  const now = Date.parse("2026-11-26T12:00:00Z");
  const warning = (days: number) =>
    expiryWarning({
      names: [],
      validFrom: 0,
      expiresAt: now + days * DAY_MS,
    }, now);
  assert.equal(warning(14), undefined);
  assert.match(warning(13.9)!, /expires on 2026-12-10, in 13 days$/);
  assert.match(warning(1)!, /in 1 day$/);
  assert.match(warning(0.5)!, /in 0 days$/);
  assert.equal(warning(-1), undefined);
});

Deno.test("certificateFacts() returns nothing for a text without certificates", () => {
  assert.equal(certificateFacts(KEY), undefined);
  assert.equal(certificateFacts(""), undefined);
});
