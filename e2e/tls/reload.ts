/**
 * The smallest program that gives a server of Bun's another certificate, for
 * `e2e/certificates_test.ts`: what is shown before and after.
 *
 * @module
 */

import process from "node:process";
import tls from "node:tls";

interface Server {
  port: number;
  reload(options: object): void;
  stop(closeActive: boolean): void;
}

const { Bun } = globalThis as unknown as {
  Bun: { serve(options: object): Server };
};

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

const fetch = () => new Response("x");
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  tls: JSON.parse(process.env.ONE!),
  fetch,
});
const before = await shown(server.port);
server.reload({ tls: JSON.parse(process.env.TWO!), fetch });
console.log(before, await shown(server.port));
server.stop(true);
