/**
 * Three backends of different speed behind one proxy, all in this process.
 *
 * ```sh
 * deno task demo
 * ```
 *
 * The answer to `/` names the backend. A request to `/stop` makes its backend stop
 * listening for ten seconds: no client sees an error, and the log says when the
 * backend went down and when it came back. The dashboard shows the same.
 *
 * @module
 */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { createProxy, serve } from "../mod.ts";

/** The token that the dashboard asks for before a change. */
const TOKEN = "open-the-sluice-gate";

/** How long a stopped backend stays away. */
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

/** Starts a backend that takes `ms` for each answer. */
async function backend(
  name: string,
  ms: number,
): Promise<{ url: string; name: string }> {
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
          `${name} answers in ${ms} ms, answer number ${answered}\n`,
        );
      }
    }, ms);
  });
  const port = await listen(server, 0);
  return { url: `http://127.0.0.1:${port}`, name };
}

/** Asks `/who` again and again, and shows the share of each backend. */
const PAGE = `<!doctype html>
<meta name="viewport" content="width=device-width">
<title>Sluice</title>
<style>
  body { font: 1.2rem/1.6 system-ui; max-width: 34rem; margin: 3rem auto; padding: 0 1rem }
  .bar { background: #38a; color: #fff; padding: 0 .5rem; margin: .2rem 0; white-space: nowrap; border-radius: .2rem; min-width: 9rem; width: 0 }
  .latest { background: #185 }
</style>
<h1>Which backend answers?</h1>
<div id="bars"></div>
<p><button>Stop one backend</button> <span id="said"></span>
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
console.log(`
Watch in a browser:  ${server.url}/
or in a terminal:    curl ${server.url}/
Stop one backend:    curl ${server.url}/stop
The dashboard:       ${server.adminUrl}/  (token: ${TOKEN})
`);
