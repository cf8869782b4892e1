/**
 * A program that replaces its server's certificate, for
 * `e2e/certificates_test.ts`. Its argument is a folder with two certificates.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import tls from "node:tls";
import { createProxy, serve } from "../../mod.ts";

const folder = process.argv[2];
const pair = (name: string) => ({
  cert: readFileSync(`${folder}/${name}.pem`, "utf8"),
  key: readFileSync(`${folder}/${name}.key`, "utf8"),
});

/** The name of the certificate that a new connection is shown. */
function shown(port: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      port,
      host: "127.0.0.1",
      servername: "localhost",
      rejectUnauthorized: false,
    }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    }).on("error", reject);
  });
}

const proxy = () =>
  createProxy({ backends: [() => new Response("x")], health: false });
const secure = proxy();
const expiry = () =>
  /^sluice_certificate_expiry_seconds (\d+)$/m.exec(secure.metrics())?.[1];
const server = serve(secure, {
  port: 0,
  host: "127.0.0.1",
  tls: pair("one"),
});
const say = (text: unknown) => console.log(String(text));

say(await shown(server.port));
await server.setCertificate({ ...pair("two"), key: pair("one").key })
  .catch(say);
say(await shown(server.port));
await server.setCertificate(pair("two"));
say(await shown(server.port));
say(expiry());
await using plain = serve(proxy(), { port: 0, host: "127.0.0.1" });
await plain.setCertificate(pair("two")).catch(say);
await server.stop();
await server.setCertificate(pair("one")).catch(say);
