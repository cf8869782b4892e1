import assert from "node:assert/strict";
import {
  CERT,
  KEY,
  KEY_ENCRYPTED,
  KEY_SEC1,
  KEY_SEC1_ENCRYPTED,
  OTHER_CERT,
  OTHER_KEY,
} from "../testing/certificates.ts";
import { A, faults, settings, usable } from "../testing/settings.ts";
import { type Surroundings } from "./config.ts";

// A key of another certificate was found by the runtime, when the proxy had
// probed and was about to listen; one for BACKEND_CERT by the first request.
Deno.test("readSettings() refuses certificates and keys that cannot be used", () => {
  const files = {
    "/cert": CERT,
    "/key": KEY,
    "/key1": KEY_SEC1,
    "/bundle": `\uFEFFa note\r\n${CERT}${OTHER_CERT}`.replaceAll("\n", "\r\n"),
    "/all": KEY + CERT,
    "/text": "x",
    "/empty": "",
    "/encrypted": KEY_ENCRYPTED,
    "/encrypted1": KEY_SEC1_ENCRYPTED,
    "/other": OTHER_KEY,
    "/reversed": OTHER_CERT + CERT,
    "/cut": CERT.slice(0, 300),
    "/cut-chain": CERT + OTHER_CERT.slice(0, 300),
    "/broken": CERT.replace("MII", "MIJ"),
    "/cut-key": KEY.slice(0, 100),
  };
  const cases: [cert: string, key: string, wants: RegExp[]][] = [
    ["/cert", "/key", []],
    ["/cert", "/key1", []],
    ["/bundle", "/key", []],
    ["/all", "/all", []],
    ["/text", "/key", [/^#_CERT: "\/text" contains no PEM/]],
    ["/empty", "/empty", [
      /^#_CERT: "\/empty" contains no PEM: .*CERTIFICATE/,
      /^#_KEY: "\/empty" contains no PEM: .*PRIVATE KEY/,
    ]],
    ["/cert", "/none", [/^#_KEY: "\/none" cannot be read \(No such file/]],
    ["/key", "/cert", [/^#_CERT: .* CERTIFICATE/, /^#_KEY: .* PRIVATE KEY/]],
    ["/cert", "/other", [
      /^#_KEY: "\/other" does not belong to the certificate in #_CERT \("\/cert"\): /,
    ]],
    ["/reversed", "/key", [
      /^#_KEY: "\/key" belongs to certificate 2 in #_CERT \("\/reversed"\): /,
    ]],
    ["/cert", "/encrypted", [
      /^#_KEY: "\/encrypted" contains an encrypted key/,
    ]],
    ["/cert", "/encrypted1", [/^#_KEY: "\/encrypted1" contains an encrypted/]],
    ["/cut", "/key", [/^#_CERT: "\/cut" contains a certificate that cannot/]],
    ["/cut-chain", "/key", [/^#_CERT: .* cannot be read \(number 2\)/]],
    ["/broken", "/key", [/^#_CERT: "\/broken" contains a certificate that/]],
    ["/cert", "/cut-key", [/^#_KEY: "\/cut-key" contains a key that cannot/]],
  ];
  for (const kind of ["TLS", "BACKEND"]) {
    for (const [cert, key, wants] of cases) {
      const env = { BACKENDS: A, [`${kind}_CERT`]: cert, [`${kind}_KEY`]: key };
      const config = settings(env, [], files);
      const found = config.kind === "faults" ? config.faults : [];
      assert.equal(found.length, wants.length, `${cert} ${key}: ${found}`);
      wants.forEach((want, i) =>
        assert.match(
          found[i]!,
          new RegExp(want.source.replaceAll("#", kind)),
        )
      );
    }
  }
  const [ca, ...more] = faults({ BACKENDS: A, BACKEND_CA: "/cut" }, [], files);
  assert.match(ca!, /^BACKEND_CA: "\/cut" contains a certificate that cannot/);
  assert.deepEqual(more, []);
});

Deno.test("readSettings() passes on certificates and keys without surrounding text", () => {
  const { serve, proxy } = usable(
    {
      BACKENDS: A,
      TLS_CERT: "/all",
      TLS_KEY: "/all",
      BACKEND_CA: "/all",
    },
    [],
    { "/all": `\uFEFFnote\n${KEY}${CERT}note\n${OTHER_CERT}` },
  );
  const certs = CERT + OTHER_CERT;
  assert.deepEqual(serve.tls, { cert: certs, key: KEY });
  assert.deepEqual(proxy.backendTls, { ca: certs });
});

Deno.test("readSettings() names both settings when the runtime cannot use a pair", () => {
  const env = {
    BACKENDS: A,
    TLS_CERT: "/cert",
    TLS_KEY: "/key",
    BACKEND_CA: "/cert",
  };
  const files = { "/cert": CERT, "/key": KEY };
  const tryTls: Surroundings["tryTls"] = ({ ca }) =>
    ca === undefined ? "no such curve" : "no such kind";
  const config = settings(env, [], files, { tryTls });
  assert.deepEqual("faults" in config && config.faults, [
    'TLS_KEY: "/key" cannot be used with TLS_CERT ("/cert"): no such curve',
    'BACKEND_CA: "/cert" cannot be used: no such kind',
  ]);
});

Deno.test("readSettings() warns of a certificate that is not valid now", () => {
  const env = {
    BACKENDS: A,
    TLS_CERT: "/cert",
    TLS_KEY: "/key",
    BACKEND_CA: "/cert",
  };
  const files = { "/cert": CERT, "/key": KEY };
  const at = (date: string) => {
    const config = settings(env, [], files, { now: Date.parse(date) });
    return "warnings" in config ? config.warnings : config;
  };
  assert.deepEqual(at("2030-01-01"), []);
  assert.deepEqual(at("2300-01-01"), [
    'TLS_CERT: "/cert": the certificate expired on 2126-11-02',
    'BACKEND_CA: "/cert": no certificate in it is valid: it expired on 2126-11-02',
  ]);
  assert.match(`${at("2000-01-01")}`, /is not valid before 2026-11-26/);
});
