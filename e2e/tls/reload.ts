/**
 * The smallest program that gives a server of Bun's another certificate, for
 * `e2e/certificates_test.ts`: what is shown before and after.
 *
 * @module
 */

import process from "node:process";
import { shownAt } from "./shown.ts";

interface Server {
  port: number;
  reload(options: object): void;
  stop(closeActive: boolean): void;
}

const { Bun } = globalThis as unknown as {
  Bun: { serve(options: object): Server };
};

const fetch = () => new Response("x");
const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  tls: JSON.parse(process.env.ONE!),
  fetch,
});
const before = await shownAt(server.port);
server.reload({ tls: JSON.parse(process.env.TWO!), fetch });
console.log(before, await shownAt(server.port));
server.stop(true);
