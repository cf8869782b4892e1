/**
 * A program that replaces its server's certificate, for
 * `e2e/certificates_test.ts`. Its argument is a folder with two certificates.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import { createProxy, serve } from "../../mod.ts";
import { shownAt } from "./shown.ts";

const folder = process.argv[2];
const pair = (name: string) => ({
  cert: readFileSync(`${folder}/${name}.pem`, "utf8"),
  key: readFileSync(`${folder}/${name}.key`, "utf8"),
});

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

say(await shownAt(server.port));
await server.setCertificate({ ...pair("two"), key: pair("one").key })
  .catch(say);
say(await shownAt(server.port));
await server.setCertificate(pair("two"));
say(await shownAt(server.port));
say(expiry());
await using plain = serve(proxy(), { port: 0, host: "127.0.0.1" });
await plain.setCertificate(pair("two")).catch(say);
await server.stop();
await server.setCertificate(pair("one")).catch(say);
