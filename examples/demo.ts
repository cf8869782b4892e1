/**
 * Three backends of different speed behind one proxy, all in this process.
 *
 * ```sh
 * deno task demo
 * ```
 *
 * Each request to `/` says who answered it. A request to `/stop` makes whoever
 * gets it stop listening for ten seconds: nobody who asks meanwhile sees an
 * error, and the log says when it was missed and when it came back. The dashboard
 * shows all of it as it happens.
 *
 * @module
 */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { createProxy, serve } from "../mod.ts";

/** What the dashboard asks for before it changes anything. */
const TOKEN = "open-the-sluice-gate";

/** How long a backend that was stopped stays away. */
const STOPPED_MS = 10_000;

/** Listens on a port of 127.0.0.1; 0 takes a free one. */
function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Starts a backend that takes `ms` for each answer; gives its URL. */
async function backend(name: string, ms: number): Promise<string> {
  let answered = 0;
  const server = createServer((request, response) => {
    if (request.url === "/health") {
      response.end();
      return;
    }
    if (request.url === "/stop") {
      response.end(`${name} stops for ${STOPPED_MS / 1000} s\n`);
      server.close();
      server.closeAllConnections();
      setTimeout(() => listen(server, port), STOPPED_MS);
      return;
    }
    answered++;
    setTimeout(() => {
      if (request.url === "/who") {
        response.end(name);
      } else if (request.headers.accept?.includes("text/html")) {
        response.setHeader("content-type", "text/html; charset=utf-8");
        response.end(PAGE);
      } else {
        response.end(
          `${name} answers in ${ms} ms, for the ${answered}. time\n`,
        );
      }
    }, ms);
  });
  const port = await listen(server, 0);
  return `http://127.0.0.1:${port}`;
}

/** Asks `/who` all the time and counts, so that one can watch. */
const PAGE = `<!doctype html>
<meta name="viewport" content="width=device-width">
<title>Sluice</title>
<style>
  body { font: 1.2rem/1.6 system-ui; max-width: 34rem; margin: 3rem auto; padding: 0 1rem }
  .bar { background: #38a; color: #fff; padding: 0 .5rem; margin: .2rem 0; white-space: nowrap; border-radius: .2rem; min-width: 9rem; width: 0 }
  .latest { background: #185 }
</style>
<h1>Who answers?</h1>
<div id="bars"></div>
<p><button>Stop whoever gets this</button> <span id="said"></span>
<p>Errors: <b id="errors">0</b>
<script>
  const counts = {}, recent = [];
  const at = (id) => document.getElementById(id);
  let errors = 0;
  async function ask() {
    try {
      const response = await fetch("/who");
      if (!response.ok) throw new Error(response.status);
      const name = await response.text();
      counts[name] ??= 0;
      recent.push(name);
      if (recent.length > 60) recent.shift();
      at("bars").replaceChildren(...Object.keys(counts).sort().map((key) => {
        const bar = document.createElement("div");
        const share = recent.filter((one) => one === key).length / recent.length;
        bar.className = key === name ? "bar latest" : "bar";
        bar.style.width = share * 100 + "%";
        bar.textContent = key + ": " + Math.round(share * 100) + " %";
        return bar;
      }));
    } catch {
      at("errors").textContent = ++errors;
    }
    setTimeout(ask, 50);
  }
  document.querySelector("button").onclick = async () => {
    at("said").textContent = await (await fetch("/stop")).text();
  };
  ask();
</script>
`;

const proxy = createProxy({
  backends: [
    await backend("amber", 5),
    await backend("birch", 40),
    await backend("cedar", 150),
  ],
  health: {
    path: "/health",
    intervalMs: 1_000,
    timeoutMs: 500,
    rise: 1,
    fall: 2,
  },
  eject: { timeMs: 1_000 },
});
await proxy.ready;
const server = serve(proxy, {
  host: "127.0.0.1",
  port: Number(process.env.PORT ?? 8080),
  admin: { port: Number(process.env.ADMIN_PORT ?? 0), token: TOKEN },
});
console.log(
  `Open ${server.url}/ and watch who answers, or: curl ${server.url}/ ` +
    `(again and again), curl ${server.url}/stop (and again the first); ` +
    `the dashboard is at ${server.adminUrl}/ and its token is ${TOKEN}`,
);
