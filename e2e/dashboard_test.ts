import assert from "node:assert/strict"; // built in to both runtimes
import { ADMIN_ENV, adminUrl, TOKEN } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { startBrowser } from "./harness/browser.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth, forOnce, skippedWithout } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

/** A browser is slow on a busy machine. */
const SLOW = {
  ...skippedWithout("chromium", "chromedriver"),
  timeoutMs: 120_000,
};
const FAST_PROBES = { HEALTH_INTERVAL: "200ms", HEALTH_TIMEOUT: "150ms" };

/** The state that a row shows, in words. */
const stateOf = (url: string) =>
  `return [...document.querySelectorAll("#rows tr")]
     .find((row) => row.querySelector(".url").textContent === ${
    JSON.stringify(url)
  })?.querySelector(".state").textContent`;

forBoth(
  "the dashboard shows a backend that dies and recovers, and drains one by a click",
  SLOW,
  async (runtime) => {
    await using first = await rawBackend((conn) =>
      conn.reply({ body: "first" })
    );
    await using second = await rawBackend((conn) =>
      conn.reply({ body: "second" })
    );
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${first.url} weight=3,${second.url}`,
        ...FAST_PROBES,
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    await using browser = await startBrowser();
    await browser.look({ width: 1280, height: 1000 });
    await browser.go(`${admin}/`);
    await browser.until(
      'return document.querySelector("#live").textContent === "live"',
      "the word live",
    );
    const shows = (url: string, state: string) =>
      browser.until(`${stateOf(url)} === ${JSON.stringify(state)}`, state);
    await shows(first.url, "up");
    await shows(second.url, "up");

    // Requests show as figures and as a line.
    await until(async () => {
      await rawRequest(proxy.port, requestText("GET", "/"));
      return await browser.run<boolean>(
        `return parseFloat(document.querySelector("#rps b").textContent) > 0 &&
        /L/.test(document.querySelector("#rps .line").getAttribute("d"))`,
      );
    }, { timeoutMs: 20_000, what: "requests a second on the page" });

    // It dies; the page shows it without a reload, also to a screen reader.
    await first.kill();
    await shows(first.url, "down");
    await browser.until(
      `return document.querySelector("#said").textContent.includes(${
        JSON.stringify(`${first.url} is down`)
      })`,
      "what a screen reader is told",
    );
    await browser.until(
      'return document.querySelector("#log").textContent.includes("is down")',
      "the change among the last ones",
    );
    await browser.until(
      'return document.querySelectorAll(".probes i.bad").length > 0',
      "a failed probe",
    );
    assert.match(await browser.run("return document.title"), /^\(1\)/);
    const pictures = [await browser.screenshot(`${runtime}-light`)];
    await browser.look({ width: 1280, height: 1000, dark: true });
    const colour = (selector: string) =>
      browser.run<string>(
        `return getComputedStyle(document.querySelector("${selector}")).backgroundColor`,
      );
    const dark = await colour("body");
    pictures.push(await browser.screenshot(`${runtime}-dark`));
    await browser.look({ width: 390, height: 844, phone: true });
    assert.notEqual(await colour("body"), dark, "light and dark differ");
    // Nothing sticks out sideways on a phone.
    const [page, screen] = await browser.run<[number, number]>(
      "return [document.documentElement.scrollWidth, innerWidth]",
    );
    assert.ok(page <= screen, `${page} pixels on a screen of ${screen}`);
    pictures.push(await browser.screenshot(`${runtime}-phone`));
    console.log(`screenshots: ${pictures.join(" ")}`);
    await browser.look({ width: 1280, height: 1000 });

    await first.restart();
    await shows(first.url, "up");

    // A drain by click: the token is requested, a wrong one refused.
    const row = `#rows tr:has([aria-label="Drain ${first.url}"])`;
    await browser.click(`${row} .act`);
    await browser.until(
      'return document.querySelector("#ask").open',
      "the question",
    );
    await browser.type("#token", "not the token at all");
    await browser.click("#form .main");
    await browser.until(
      'return document.querySelector("#why.wrong") !== null && document.querySelector("#ask").open',
      "that it was wrong",
    );
    await browser.type("#token", TOKEN);
    await browser.click("#form .main");
    await shows(first.url, "draining");
    for (let i = 0; i < 3; i++) {
      const { text } = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(text, "second");
    }
    // The token is remembered: not requested again, nor for a weight.
    await browser.click(`[aria-label="Resume ${first.url}"]`);
    await shows(first.url, "up");
    await browser.run(
      `const field = document.querySelector('[aria-label="Weight of ${first.url}"]');
     field.value = 5; field.dispatchEvent(new Event("change"));`,
    );
    await until(async () => {
      const { backends } = await (await fetch(`${admin}/backends`)).json();
      return backends[0].weight === 5;
    });

    // Nothing was loaded from anywhere, and nothing was refused by the policy.
    const loaded = await browser.run<string[]>(
      "return performance.getEntriesByType('resource').map((entry) => entry.name)",
    );
    for (const url of loaded) assert.ok(url.startsWith(admin), url);
    const faults = (await browser.console())
      .filter(({ message }) => !/401/.test(message));
    assert.deepEqual(faults, []);

    // The proxy exits: the page shows that the connection is lost.
    proxy.signal("SIGKILL");
    await proxy.waitForExit();
    await browser.until(
      'return document.querySelector("#live.lost")?.textContent.includes("lost")',
      "that the connection is lost",
    );
  },
);

forBoth(
  "the dashboard reconnects when the proxy has restarted",
  SLOW,
  async (runtime) => {
    await using backend = await rawBackend();
    let proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, ...ADMIN_ENV },
    });
    const admin = await adminUrl(proxy);
    const port = new URL(admin).port;
    await using browser = await startBrowser();
    await browser.go(`${admin}/`);
    const live = 'return document.querySelector("#live.on") !== null';
    await browser.until(live, "the word live");
    await proxy.stop();
    await browser.until(
      'return document.querySelector("#live.lost") !== null',
      "that the connection is lost",
    );
    proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, ...ADMIN_ENV, ADMIN_PORT: port },
    });
    await browser.until(live, "the word live again");
    assert.equal(
      await browser.run("return document.querySelectorAll('#rows tr').length"),
      1,
    );
    await proxy.stop();
  },
);

/** A program with backends that only a library's user can have. */
const HOSTILE = String.raw`
import { createProxy, serve } from "./mod.ts";
const named = (name, answer) =>
  Object.defineProperty(answer, "name", { value: name });
const proxy = createProxy({
  backends: [
    named('<img src=x onerror="document.title=1">', () => new Response("a")),
    named("</script><script>document.title=2</script>", () => new Response("b")),
    named('"}\n\u001b[31m%s\u2028\\', () => { throw new Error("<b>thrown</b>"); }),
  ],
  accessLog: "json",
  eject: { after: 1 },
});
const server = serve(proxy, { port: 0, host: "127.0.0.1", admin: { port: 0 } });
console.error("listening on " + server.url);
console.error("dashboard at " + server.adminUrl + "/");
`;

forOnce(
  "names of backends that are HTML or control bytes stay text everywhere",
  SLOW,
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "sluice-hostile-" });
    const entry = `${folder}/hostile.ts`;
    const root = new URL("..", import.meta.url);
    await Deno.writeTextFile(
      entry,
      HOSTILE.replace("./mod.ts", new URL("mod.ts", root).href),
    );
    try {
      await using proxy = await startProxy("deno", { entry });
      const admin = await adminUrl(proxy);
      for (let i = 0; i < 6; i++) {
        await rawRequest(proxy.port, requestText("GET", "/<b>%s"));
      }
      await until(() => proxy.stdout.length >= 6);
      for (const line of proxy.stdout) {
        // deno-lint-ignore no-control-regex -- they are what is looked for
        assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f\u2028]/);
        assert.equal(typeof JSON.parse(line).backend, "string");
      }
      for (const line of proxy.stderr) {
        // deno-lint-ignore no-control-regex -- they are what is looked for
        assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f\u2028]/);
      }
      const metrics = await (await fetch(`${admin}/metrics`)).text();
      for (const line of metrics.trimEnd().split("\n")) {
        assert.match(line, /^(?:# |[a-z_]+(?:\{.*\})? [\d.e+-]+$)/);
      }
      await using browser = await startBrowser();
      await browser.go(`${admin}/`);
      await browser.until(
        'return document.querySelectorAll("#rows tr").length === 3 && document.querySelector("#log li") !== null',
        "three rows and a change",
      );
      const found = await browser.run<{ names: string[]; foreign: number }>(
        `return {
        names: [...document.querySelectorAll(".url")].map((e) => e.textContent),
        foreign: document.querySelectorAll("img, b:not(.big b), script:not([nonce]), main script").length,
      }`,
      );
      // What a function is called may hold anything; what is shown of it may not.
      assert.ok(found.names.some((name) => name.includes("_img_src_x")));
      assert.equal(found.foreign, 0);
      assert.match(await browser.run("return document.title"), /Sluice$/);
      // Without a token there is nothing to click.
      assert.equal(
        await browser.run(
          "return document.querySelectorAll('.act:enabled, .weight:enabled').length",
        ),
        0,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

forBoth(
  "a thousand backends do not freeze the dashboard",
  SLOW,
  async (runtime) => {
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: Array.from(
          { length: 1000 },
          (_, i) => `http://127.0.0.1:9/b${i}`,
        )
          .join().replaceAll(":9/", ":65432/"),
        HEALTH_PATH: "off",
        ...ADMIN_ENV,
      },
    });
    const admin = await adminUrl(proxy);
    await using browser = await startBrowser();
    await browser.look({ width: 1280, height: 1000 });
    await browser.go(`${admin}/`);
    // The longest time between two frames, while the page is built and updated.
    await browser.run(
      `window.longest = 0; let before = performance.now();
     (function look(now) {
       longest = Math.max(longest, now - before); before = now;
       requestAnimationFrame(look);
     })(before)`,
    );
    await browser.until(
      'return document.querySelectorAll("#rows tr").length === 1000',
      "a thousand rows",
      60_000,
    );
    await browser.run(
      "window.ticks = 0; new MutationObserver(() => ticks++).observe(document.querySelector('#rps .line'), { attributes: true })",
    );
    await browser.until("return ticks >= 6", "six seconds of figures", 60_000);
    const longest = await browser.run<number>("return longest");
    // A person would call a page that stops for a second frozen. On a busy
    // machine a browser also takes seconds for an empty page; this must find a
    // page that is rebuilt with each event.
    assert.ok(longest < 10_000, `${longest} ms between two frames`);
    await browser.type("#find", "/b77");
    await browser.until(
      'return document.querySelectorAll("#rows tr:not([hidden])").length === 11',
      "the eleven that were looked for",
    );
  },
);
