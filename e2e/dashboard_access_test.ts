/**
 * The dashboard for all of its readers: by keyboard, by screen reader, in light
 * and dark, on a phone, and with a pool of any size.
 */

import assert from "node:assert/strict";
import { npmTool } from "../testing/tools.ts";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { type Browser, startBrowser } from "./harness/browser.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { Authority, HERE } from "./tls/certificates.ts";

const SLOW = {
  ...skippedWithout("chromium", "chromedriver", "openssl"),
  timeoutMs: 120_000,
};
const PROBES = { HEALTH_INTERVAL: "200ms", HEALTH_TIMEOUT: "150ms" };
const AXE = "4.14.1";

const WIDE = { width: 1280, height: 1000 };
const PHONE = { width: 390, height: 844, phone: true };
const LOOKS = [WIDE, { ...WIDE, dark: true }, PHONE, { ...PHONE, dark: true }];

/** Shows states that take long to reach: each state, each kind of notice. */
const SAMPLES = `
  const add = (parent, name, kind) => {
    const one = document.createElement(name);
    one.className = kind;
    one.textContent = kind;
    document.querySelector(parent).append(one);
  };
  for (const state of ["up", "down", "ejected", "failing", "slow", "draining", "resting"]) {
    add("footer", "span", "state " + state);
    add("main .panel", "span", "state " + state);
  }
  for (const kind of ["warn", "bad"]) add(".facts", "span", kind);
  add("main .panel", "span", "failed");
  add("main .panel", "span", "reason");
`;

/** What axe-core finds wrong, in each look. */
async function faultsOf(browser: Browser): Promise<string[]> {
  const { modules } = await npmTool("axe-core", AXE);
  await browser.run(
    await Deno.readTextFile(`${modules}/axe-core/axe.min.js`),
  );
  const faults: string[] = [];
  for (const look of LOOKS) {
    await browser.look(look);
    // A colour during its transition is not one of ours.
    await browser.until(
      "return document.getAnimations().every((one) => one.playState !== 'running' || one.effect.getComputedTiming().iterations === Infinity)",
      "colours that stand",
    );
    const found = await browser.run<string[]>(
      `return axe.run(document).then(({ violations }) =>
         violations.flatMap(({ id, impact, nodes }) =>
           nodes.map(({ html, failureSummary }) =>
             impact + " " + id + ": " + html + " " + failureSummary)))`,
    );
    faults.push(...found.map((text) => `${JSON.stringify(look)} ${text}`));
  }
  // No horizontal overflow at any width.
  for (const width of [1280, 1120, 1000, 800, 390]) {
    await browser.look({ width, height: 900 });
    const [page, screen] = await browser.run<[number, number]>(
      "return [document.documentElement.scrollWidth, innerWidth]",
    );
    if (page > screen) faults.push(`${page} pixels on a screen of ${screen}`);
  }
  await browser.look(WIDE);
  return faults;
}

forBoth(
  "the dashboard can be read and used without a mouse, and axe-core finds nothing",
  SLOW,
  async (runtime) => {
    await using first = await rawBackend();
    await using second = await rawBackend();
    await using third = await rawBackend();
    await using ca = await Authority.make();
    const { cert, key } = await ca.sign(HERE, 10);
    await using proxy = await startProxy(runtime, {
      permissions: [`--allow-read=${ca.folder}`],
      env: {
        TLS_CERT: await ca.write("front.pem", cert),
        TLS_KEY: await ca.write("front.key", key),
        BACKENDS:
          `${first.url} name=web-1,${second.url} name=web-2,${third.url} backup`,
        RATE_LIMIT: "1/h",
        TRANSPORT: "socket",
        ...PROBES,
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    await using browser = await startBrowser();
    await browser.look(WIDE);
    await browser.go(`${admin}/`);
    await browser.until(
      'return document.querySelector("#verdict").textContent === "All 3 backends are up"',
      "that all is well",
    );
    await second.kill();
    await browser.until(
      `const text = (id) => document.getElementById(id).textContent;
       return text("verdict") === "1 of 3 backends is down" &&
         /web-2.*for \\d+ s: probe of .*refused/.test(text("problems")) &&
         /web-2 is down/.test(text("log"))`,
      "which backend is down, and why",
    );
    // Refused requests are shown as such: the first used the only token.
    const refuse = () =>
      rawRequest(proxy.port, requestText("GET", "/"), {
        tls: { ca: ca.cert, servername: "localhost" },
      });
    await refuse();
    const refusing = setInterval(refuse, 100);
    try {
      await browser.until(
        `return /expires in 9 days.*RATE_LIMIT refuses/.test(document.querySelector("#notices").textContent) &&
         parseFloat(document.querySelector("#refused b").textContent) > 0`,
        "refused requests",
      );
      await browser.run(SAMPLES);
      assert.deepEqual(await faultsOf(browser), []);
    } finally {
      clearInterval(refusing);
    }
    // A replaced certificate is a change.
    const next = await ca.sign(HERE, 40);
    await ca.write("front.key", next.key);
    await ca.write("front.pem", next.cert);
    proxy.signal("SIGHUP");
    await browser.until(
      `return /new certificate.*expires on/.test(document.querySelector("#log").textContent) &&
       document.querySelector("#certificate").textContent === "certificate: 39 days left"`,
      "the new certificate",
    );
    assert.equal(
      await browser.run(
        `return getComputedStyle(document.querySelector("td.conns")).display`,
      ),
      "table-cell",
    );

    // Tab reaches all controls, beginning with the skip link.
    await browser.run("document.activeElement.blur(); scrollTo(0, 0)");
    const wanted = await browser.run<number>(
      `window.usable = [...document.querySelectorAll("a, button, input, select, [tabindex='0']")]
         .filter((one) => !one.disabled && one.checkVisibility());
       return usable.length`,
    );
    const reached = new Set<number>();
    for (let i = 0; i < wanted; i++) {
      await browser.press("Tab");
      const at = await browser.run<number>(
        "return usable.indexOf(document.activeElement)",
      );
      if (i === 0) assert.equal(at, 0, "the skip link is first");
      reached.add(at);
    }
    assert.equal(reached.size, wanted);
    assert.ok(!reached.has(-1));

    // The dialog works by keyboard: it takes the focus and returns it.
    await browser.run(
      `document.querySelector('[aria-label="Drain web-1"]').focus()`,
    );
    await browser.press("Enter");
    await browser.until(
      'return document.querySelector("#ask").open && document.activeElement.id === "token"',
      "the question",
    );
    assert.deepEqual(await faultsOf(browser), []);
    await browser.press("Escape");
    await browser.until(
      `return !document.querySelector("#ask").open &&
       document.activeElement.getAttribute("aria-label") === "Drain web-1"`,
      "the focus where it was",
    );
    // From a problem to its row.
    await browser.run(`document.querySelector(".goto").focus()`);
    await browser.press("Enter");
    assert.equal(
      await browser.run(
        "return document.activeElement.querySelector('.url').textContent",
      ),
      "web-2",
    );
  },
);

forBoth(
  "the dashboard shows 300 backends as tiles, and leads from the one that is down to its row",
  SLOW,
  async (runtime) => {
    await using backend = await rawBackend();
    // One server under 300 base paths, of which one is not there.
    await using dead = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: Array.from(
          { length: 300 },
          (_, i) =>
            i === 200
              ? `${dead.url} name=web-200`
              : `${backend.url}/b${i} name=web-${i}`,
        ).join(),
        HEALTH_INTERVAL: "1s",
        HEALTH_TIMEOUT: "900ms",
        TRANSPORT: "fetch",
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    await using browser = await startBrowser();
    await browser.look(WIDE);
    await browser.go(`${admin}/`);
    await dead.kill();
    await browser.until(
      `return [...document.querySelectorAll("#problems .goto")]
         .some((one) => one.textContent === "web-200")`,
      "the one that is down",
    );
    const [map, flow] = await browser.run<boolean[]>(
      "return ['map', 'flow'].map((id) => document.getElementById(id).checkVisibility())",
    );
    assert.deepEqual([map, flow], [true, false]);
    for (const look of [WIDE, PHONE]) {
      await browser.look(look);
      // All tiles fit one screen, and each is large enough to touch.
      await browser.until(
        `const { width, height } = document.querySelector("#map canvas").getBoundingClientRect();
         return width <= innerWidth && height < innerHeight && height > 0 &&
           width * height / 300 >= 9 * 9`,
        "tiles that fit",
      );
    }
    await browser.look(WIDE);
    // The runtime's own connections are unknown, so none are shown.
    assert.equal(
      await browser.run(
        `return document.querySelector(".conns").checkVisibility()`,
      ),
      false,
    );
    // When sorted it comes first; in the configured order it does not.
    const firstIs = (name: string) =>
      browser.until(
        `return document.querySelector("#rows tr .url").textContent === "${name}"`,
        `${name} in the first row`,
      );
    await firstIs("web-200");
    const sort = (by: string) =>
      browser.run(
        `const list = document.querySelector("#sort"); list.value = "${by}";
         list.dispatchEvent(new Event("change"))`,
      );
    await sort("listed");
    await firstIs("web-0");
    await browser.click("#problems .goto");
    await browser.until(
      `const { top, bottom } = document.activeElement.getBoundingClientRect();
       return document.activeElement.querySelector(".url")?.textContent === "web-200" &&
         top >= 0 && bottom <= innerHeight`,
      "its row, in sight",
    );
    console.log(
      `screenshot: ${await browser.screenshot(`${runtime}-300`, false)}`,
    );
    assert.deepEqual(
      (await browser.console()).map(({ message }) => message),
      [],
    );
  },
);
