/**
 * Clients that connect with TLS, send one request and close, many per second.
 * `swap.ts` runs it on Bun, in a separate process.
 *
 * Arguments are the port, connections per second and the authority's file. Each
 * connection is a line on standard output: its start, in milliseconds, and the
 * number in the name of the server's certificate, or why it failed. It exits
 * when standard input ends.
 *
 * @module
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import tls from "node:tls";

/** Concurrent connections. */
const MOST_OPEN = 400;

const [port, perSecond, file] = process.argv.slice(2);
const ca = readFileSync(file!, "utf8");
const open = new Set<Promise<void>>();
let started = 0;

async function connect(): Promise<void> {
  const begun = performance.timeOrigin + performance.now();
  let [text, shown] = ["", ""];
  try {
    await new Promise<void>((resolve, reject) => {
      const socket = tls.connect({
        host: "127.0.0.1",
        port: Number(port),
        ca,
        servername: "localhost",
      }, () => {
        const { subject } = socket.getPeerCertificate();
        shown = /\d+$/.exec(String(subject.CN))?.[0] ?? "?";
        socket.write(
          "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        );
      });
      const timer = setTimeout(() => socket.destroy(), 20_000);
      socket.on("data", (data) => text += data);
      socket.on("error", reject);
      socket.on("close", () => {
        clearTimeout(timer);
        resolve();
      });
    });
    if (!/^HTTP\/1\.1 200 [^]*\/x$/.test(text)) throw new Error("no answer");
    console.log(begun, shown);
  } catch (error) {
    const ms = performance.timeOrigin + performance.now() - begun;
    const state = `shown ${shown || "nothing"}, then ${text.length} bytes, ` +
      `after ${ms.toFixed(0)} ms`;
    console.log(begun, `failed: ${error} (${state})`);
  }
}

const timer = setInterval(() => {
  const due = performance.now() / 1000 * Number(perSecond);
  // Do not catch up on connections that were due before this program was
  // loaded.
  if (started === 0) started = Math.floor(due);
  // A slow machine gets no more of them than it can serve in time.
  while (started < due && open.size < MOST_OPEN) {
    started++;
    const one = connect().finally(() => open.delete(one));
    open.add(one);
  }
}, 5);

process.stdin.resume();
process.stdin.on("end", async () => {
  clearInterval(timer);
  await Promise.all(open);
  process.exit();
});
