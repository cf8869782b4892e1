/**
 * Takes the screenshot of the dashboard for the documents: five backends under
 * load, one slow and one down.
 *
 * ```sh
 * deno run -A e2e/dashboard_picture.ts
 * ```
 *
 * @module
 */

import { ROOT } from "../testing/tools.ts";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { startBrowser } from "./harness/browser.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { delay } from "./harness/wait.ts";
import { Authority, HERE } from "./tls/certificates.ts";

/** Milliseconds that each backend takes. */
const TIMES = [6, 9, 160, 7, 12];
const PER_SECOND = 60;

async function take(path: string): Promise<void> {
  await using ca = await Authority.make();
  const { cert, key } = await ca.sign(HERE, 62);
  const backends = await Promise.all(
    TIMES.map((ms) =>
      rawBackend(async (conn) => {
        await delay(ms * (.7 + Math.random() * .6));
        await conn.reply();
      })
    ),
  );
  const list = backends.map(({ url }, i) => `${url} name=web-${i + 1}`);
  await using proxy = await startProxy("deno", {
    permissions: [`--allow-read=${ca.folder}`],
    env: {
      BACKENDS: list.join(),
      TLS_CERT: await ca.write("front.pem", cert),
      TLS_KEY: await ca.write("front.key", key),
      TRANSPORT: "socket",
      MAX_IN_FLIGHT: "auto",
      HEALTH_INTERVAL: "1s",
      HEALTH_TIMEOUT: "900ms",
      HEALTH_PATH: "/health",
      ...ADMIN_ENV,
    },
  });
  const get = requestText("GET", "/");
  const tls = { ca: ca.cert, servername: "localhost" };
  const load = setInterval(
    () => rawRequest(proxy.port, get, { tls }).catch(() => {}),
    1000 / PER_SECOND,
  );
  const admin = await adminUrl(proxy);
  await using browser = await startBrowser();
  await browser.look({ width: 1200, height: 1000 });
  await browser.go(`${admin}/`);
  await delay(40_000);
  await backends[3]!.kill();
  await browser.until(
    `const text = document.getElementById("problems").textContent;
     return text.includes("web-4") && text.includes("web-3")`,
    "what is down and what is slow",
  );
  await delay(12_000);
  await Deno.copyFile(await browser.screenshot("picture"), path);
  clearInterval(load);
  for (const backend of backends) await backend[Symbol.asyncDispose]();
}

if (import.meta.main) {
  await take(`${ROOT}/docs/dashboard.png`);
  Deno.exit();
}
