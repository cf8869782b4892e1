/**
 * Certificates and keys that cannot be used, and errors in a backend's.
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { runProgram, sentBy, startProxy } from "./harness/proxy.ts";
import { type CaseOptions, forBoth, skippedWithout } from "./harness/suite.ts";
import { Authority, HERE } from "./tls/certificates.ts";

const OPENSSL: CaseOptions = {
  ...skippedWithout("openssl"),
  timeoutMs: 90_000,
};

async function openssl(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("openssl", {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  assert.ok(success, decoder.decode(stderr));
  return decoder.decode(stdout);
}

// A key of another certificate was found only when all backends had been probed
// and the proxy was about to listen; it exited with 1 and named neither
// variable. A wrong BACKEND_KEY was found by the first request.
forBoth(
  "certificates and keys that cannot be used end it with 2, and one line names them",
  OPENSSL,
  async (
    runtime,
  ) => {
    await using ca = await Authority.make();
    const [one, two] = [await ca.sign(HERE), await ca.sign(HERE)];
    const cert = await ca.write("one.pem", one.cert);
    const key = await ca.write("one.key", one.key);
    const write = (name: string, text: string) => ca.write(name, text);
    const encrypted = await write(
      "encrypted.key",
      await openssl("pkcs8", "-topk8", "-in", key, "-passout", "pass:hunter2"),
    );
    const curve = `${ca.folder}/curve`;
    await openssl(
      ...["req", "-x509", "-newkey", "ec", "-nodes", "-subj", "/CN=x"],
      ...["-pkeyopt", "ec_paramgen_curve:secp256k1", "-days", "2"],
      ...["-keyout", `${curve}.key`, "-out", `${curve}.pem`],
    );
    const cases: [cert: string, key: string, wants: string][] = [
      [
        cert,
        await write("two.key", two.key),
        "_KEY: .* does not belong to .* #_CERT",
      ],
      [
        await write("reversed.pem", two.cert + one.cert),
        key,
        "_KEY: .* certificate 2 in #_CERT",
      ],
      [cert, encrypted, "_KEY: .* contains an encrypted key"],
      [cert, await write("empty", ""), "_KEY: .* contains no PEM"],
      [cert, ca.folder, "_KEY: .* cannot be read \\(.*directory"],
      [cert, `${ca.folder}/none`, "_KEY: .* cannot be read \\("],
      [
        cert,
        cert,
        "_KEY: .* contains no PEM: export it as PEM, with -----BEGIN PRIVATE KEY",
      ],
      [
        await write("cut.pem", one.cert.slice(0, 300)),
        key,
        "_CERT: .* cannot be read",
      ],
      [
        cert,
        await write("cut.key", one.key.slice(0, 100)),
        "_KEY: .* cannot be read",
      ],
      // Neither runtime's TLS supports the curve, though Deno can read the key.
      [
        `${curve}.pem`,
        `${curve}.key`,
        "_KEY: .* cannot be (?:read|used with #_CERT)",
      ],
      [cert, one.key, '_KEY: "\\*\\*\\*" contains PEM'],
    ];
    await using backend = await rawBackend();
    const left = ["TLS", "BACKEND"].flatMap((kind) =>
      cases.map((row) => [kind, ...row] as const)
    );
    const run = async () => {
      for (let row; (row = left.shift()) !== undefined;) {
        const [kind, cert, key, wants] = row;
        const { code, stdout, stderr } = await runProgram(runtime, {
          env: {
            BACKENDS: backend.url,
            [`${kind}_CERT`]: cert,
            [`${kind}_KEY`]: key,
          },
          // It could not listen, and would exit in another way if it tried.
          denoFlags: ["--no-prompt", "--allow-env", "--allow-read"],
          startMs: 60_000,
        });
        assert.equal(code, 2, `${wants}: ${stderr}`);
        assert.equal(stdout, "");
        assert.match(
          stderr,
          new RegExp(`^#${wants}[^\n]*\n$`.replaceAll("#", kind)),
        );
        assert.doesNotMatch(stderr, /hunter2|MI[GIH][A-Za-z0-9+/]{20}/);
      }
    };
    await Promise.all([run(), run()]);
    assert.equal(backend.connections.opened, 0);
  },
);

forBoth("an expired certificate is served, with a warning", OPENSSL, async (
  runtime,
) => {
  await using ca = await Authority.make();
  const { cert, key } = await ca.sign(HERE, -1);
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: backend.url,
      TLS_CERT: await ca.write("old.pem", cert),
      TLS_KEY: await ca.write("old.key", key),
    },
    permissions: [`--allow-read=${ca.folder}`],
  });
  await proxy.waitForLine(
    /^sluice: TLS_CERT: ".*old\.pem": the certificate expired on \d{4}-\d\d-\d\d$/,
  );
  const answer = await rawRequest(proxy.port, requestText("GET", "/"), {
    tls: {},
  });
  assert.equal(answer.status, 200);
});

/** A self-signed certificate as `openssl req -x509` makes it, and its key. */
async function selfSigned(folder: string, isAuthority: boolean) {
  const path = `${folder}/self-${isAuthority}`;
  await openssl(
    ...["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"],
    ...["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost"],
    ...["-addext", `subjectAltName=${HERE}`],
    ...isAuthority ? [] : ["-addext", "basicConstraints=critical,CA:FALSE"],
    ...["-keyout", `${path}.key`, "-out", `${path}.pem`],
  );
  return {
    path: `${path}.pem`,
    cert: await Deno.readTextFile(`${path}.pem`),
    key: await Deno.readTextFile(`${path}.key`),
  };
}

// The message said only that the certificate is not accepted.
forBoth(
  "the log and --check name the fault of a backend's certificate, and no client gets it",
  OPENSSL,
  async (
    runtime,
  ) => {
    await using ca = await Authority.make();
    await using stranger = await Authority.make();
    const cases: [
      pair: { cert: string; key: string },
      reason: string,
      hint: RegExp,
    ][] = [
      [
        await ca.sign("DNS:other.test"),
        "is for another name",
        /the name that it is for/,
      ],
      [await ca.sign(HERE, -1), "has expired", /renew its certificate/],
      [await stranger.sign(HERE), "is from an unknown authority", /BACKEND_CA/],
    ];
    for (const [tls, reason, hint] of cases) {
      await using backend = await rawBackend(undefined, { tls });
      const options = {
        env: {
          BACKENDS: `https://localhost:${backend.port}`,
          BACKEND_CA: `${ca.folder}/ca.pem`,
        },
        permissions: [`--allow-read=${ca.folder}`],
      };
      await using proxy = await startProxy(runtime, options);
      await proxy.waitForLine(
        new RegExp(`is down \\(probe of /health: its certificate ${reason}\\)`),
      );
      const { code, stdout } = await runProgram(runtime, {
        ...options,
        args: ["--check"],
      });
      assert.equal(code, 1);
      assert.ok(stdout.includes(`its certificate ${reason}`), stdout);
      assert.match(stdout, hint);
      const answer = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(answer.status, 503);
      const text = new TextDecoder().decode(answer.raw);
      assert.doesNotMatch(
        text,
        /certificate (?:is|has)|authority|expired|localhost/,
      );
    }
  },
);

// By default `openssl req -x509` makes a certificate with CA:TRUE.
forBoth(
  "a self-signed certificate as BACKEND_CA works, but by Deno's fetch not with CA:TRUE",
  OPENSSL,
  async (
    runtime,
  ) => {
    const folder = await Deno.makeTempDir();
    try {
      for (const isAuthority of [false, true]) {
        const { path, cert, key } = await selfSigned(folder, isAuthority);
        await using backend = await rawBackend(undefined, {
          tls: { cert, key },
        });
        const options = {
          env: {
            BACKENDS: `https://localhost:${backend.port}`,
            BACKEND_CA: path,
          },
          permissions: [`--allow-read=${folder}`],
        };
        await using proxy = await startProxy(runtime, options);
        const answer = await rawRequest(proxy.port, requestText("GET", "/"));
        const works = !isAuthority || runtime === "bun" ||
          sentBy(runtime) !== "fetch";
        assert.equal(answer.status, works ? 200 : 503);
        const { code, stdout } = await runProgram(runtime, {
          ...options,
          args: ["--check"],
        });
        assert.equal(code, works ? 0 : 1);
        if (works) continue;
        await proxy.waitForLine(
          /its certificate is a CA certificate \(CA:TRUE\)/,
        );
        assert.match(stdout, /make one with CA:FALSE/);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
