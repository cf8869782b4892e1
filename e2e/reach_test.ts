/**
 * Targets and fields in every spelling that might name another server: each
 * reaches a backend or nothing. Two servers that are no backends listen beside
 * the proxy, and must never see a connection.
 *
 * @module
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { Authority, HERE } from "./tls/certificates.ts";

/** Spellings of an authority in front of, or in place of, a path. */
const TARGETS: readonly ((authority: string) => string)[] = [
  (a) => `http://${a}/x`,
  (a) => `HTTP://${a}/x`,
  (a) => `https://${a}/x`,
  (a) => `http:${a}/x`,
  (a) => `http:/${a}/x`,
  (a) => `http:///${a}/x`,
  (a) => `http:\\\\${a}\\x`,
  (a) => `ws://${a}/x`,
  (a) => `ftp://${a}/x`,
  (a) => `http://sluice.test@${a}/x`,
  (a) => `http://sluice.test:80@${a}/x`,
  (a) => `http://${a}@sluice.test/x`,
  (a) => `http://sluice.test#@${a}/x`,
  (a) => `http://sluice.test%23@${a}/x`,
  (a) => `http://sluice.test\\@${a}/x`,
  (a) => `http://sluice.test%2f@${a}/x`,
  (a) => `http://${a}%2f@sluice.test/x`,
  (a) => `http://${a}\\sluice.test/x`,
  (a) => `http://sluice.test,${a}/x`,
  (a) => `http://sluice.test http://${a}/x`,
  (a) => `${a}`,
  (a) => `${a}/x`,
  (a) => `//${a}/x`,
  (a) => `///${a}/x`,
  (a) => `////${a}/x`,
  (a) => `/\\${a}/x`,
  (a) => `\\\\${a}/x`,
  (a) => `/\\/${a}/x`,
  (a) => `/%2f${a}/x`,
  (a) => `/%2F%2F${a}/x`,
  (a) => `/%5c${a}/x`,
  (a) => `/%09/${a}/x`,
  (a) => `/\t/${a}/x`,
  (a) => `/.//${a}/x`,
  (a) => `/..//${a}/x`,
  (a) => `/%2e%2e//${a}/x`,
  (a) => `/@${a}/x`,
  (a) => `@${a}/x`,
  (a) => `:80@${a}/x`,
  (a) => `.${a}/x`,
  (a) => `;@${a}/x`,
  (a) => `?@${a}/x`,
  (a) => `#@${a}/x`,
  (a) => `/http://${a}/x`,
  (a) => `/x?url=http://${a}/`,
  (a) => `/x#@${a}/`,
  (a) => `/x@${a}:80/`,
];

/**
 * Spellings of 127.0.0.1 and a port, some of which only some parsers accept.
 */
const AUTHORITIES: readonly ((port: number) => string)[] = [
  (port) => `127.0.0.1:${port}`,
  (port) => `localhost:${port}`,
  (port) => `127.1:${port}`,
  (port) => `2130706433:${port}`,
  (port) => `0x7f000001:${port}`,
  (port) => `0177.0.0.1:${port}`,
  (port) => `[::ffff:127.0.0.1]:${port}`,
  // Digits, dots and letters of Unicode that IDNA makes ASCII of.
  (port) => `\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1:${port}`,
  (port) => `127\xe3\x80\x820\xe3\x80\x820\xe3\x80\x821:${port}`,
  (port) => `\xe2\x93\x81ocalhost:${port}`,
  (port) => `%31%32%37.0.0.1:${port}`,
  (port) => `127.0.0.1:0${port}`,
];

/** Ways to name it in `Host`, where the target is a plain path. */
const HOSTS: readonly ((authority: string) => string)[] = [
  (a) => a,
  (a) => `sluice.test@${a}`,
  (a) => `sluice.test/@${a}`,
  (a) => `${a}/x`,
  (a) => `${a}#`,
  (a) => `${a}?`,
  (a) => `${a}\\`,
  (a) => `http://${a}`,
  (a) => `sluice.test, ${a}`,
  (a) => `sluice.test\t${a}`,
];

/** Fields by which some servers pick another URL or host. */
function fields(authority: string): string {
  return [
    "X-Forwarded-Host",
    "X-Forwarded-Server",
    "X-Host",
    "X-HTTP-Host-Override",
    "Forwarded",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Forwarded-Proto",
    "X-Backend",
    "Referer",
    "Origin",
    "Destination",
    "Proxy-Connection",
    "Sluice-Debug",
  ].map((name) =>
    name === "Forwarded"
      ? `Forwarded: for=127.0.0.1;host="${authority}"\r\n`
      : `${name}: http://${authority}/x\r\n`
  ).join("");
}

/** All requests that name a server which is not a backend. */
function* requests(port: number): Generator<string> {
  for (const spell of AUTHORITIES) {
    const authority = spell(port);
    for (const target of TARGETS) {
      for (const host of ["sluice.test", authority]) {
        yield `GET ${target(authority)} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
      }
    }
    for (const host of HOSTS) {
      yield `GET /x HTTP/1.1\r\nHost: ${host(authority)}\r\n\r\n`;
    }
    for (const method of ["CONNECT", "OPTIONS", "POST", "PROPFIND"]) {
      const more = method === "POST" ? "Content-Length: 0\r\n" : "";
      yield `${method} ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${more}\r\n`;
      yield `${method} http://${authority}/x HTTP/1.1\r\nHost: ${authority}\r\n${more}\r\n`;
    }
    yield `GET /x HTTP/1.1\r\nHost: sluice.test\r\n${fields(authority)}\r\n`;
    yield `GET http://${authority}/x HTTP/1.0\r\n\r\n`;
    yield `GET http://${authority}/x HTTP/1.1\r\nHost: ${authority}\r\n` +
      "Upgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
      "Sec-WebSocket-Version: 13\r\n\r\n";
  }
}

/** Characters above Latin-1 are bytes in these texts. */
function bytes(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

const AT_ONCE = 16;

async function sendAll(port: number, all: readonly string[]) {
  const rest = [...all];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let text; (text = rest.pop()) !== undefined;) {
      // Whether there is a response is for other tests.
      await rawRequest(port, bytes(text), {
        closeWaitMs: 0,
        timeoutMs: 20_000,
      });
    }
  }));
}

for (const base of ["", "/app/v1"]) {
  forBoth(
    `no spelling of a target or a Host reaches a server that is no backend${
      base && ", nor leaves a base path"
    }`,
    { ...skippedWithout("openssl"), timeoutMs: 120_000 },
    async (runtime) => {
      await using ca = await Authority.make();
      await using backend = await rawBackend(async (conn, request) => {
        await request.body();
        await conn.reply({ body: "backend" });
      }, { recordLimit: 64 * 1024 });
      await using plain = await rawBackend(undefined, { allowProblems: true });
      await using secure = await rawBackend(undefined, {
        tls: await ca.sign(HERE),
        allowProblems: true,
      });
      await using proxy = await startProxy(runtime, {
        env: {
          BACKENDS: `${backend.url}${base}`,
          HEALTH_PATH: "off",
          EJECT_AFTER: "off",
          BACKEND_CA: `${ca.folder}/ca.pem`,
        },
        permissions: [`--allow-read=${ca.folder}`],
      });
      let sent = 0;
      for (const other of [plain, secure]) {
        const all = [...requests(other.port)];
        await sendAll(proxy.port, all);
        sent += all.length;
        assert.equal(other.connections.opened, 0);
      }
      assert.equal(proxy.exited, undefined);
      assert.ok(sent > 2_000, `${sent} requests`);
      assert.ok(backend.requests.length > 300, `${backend.requests.length}`);
      for (const { target } of backend.requests) {
        const { pathname } = new URL(`http://h${target}`);
        assert.ok(
          pathname === base || pathname.startsWith(`${base}/`),
          `${target} leaves ${base}`,
        );
      }
      console.log(
        `    ${runtime}: ${sent} requests, ${backend.requests.length}` +
          " reached the backend, 0 another server",
      );
    },
  );
}
