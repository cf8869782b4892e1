/**
 * A real browser, controlled by WebDriver over `fetch` to chromedriver, to test
 * what a page really shows.
 *
 * ```ts ignore
 * await using browser = await startBrowser();
 * await browser.go(`${url}/`);
 * await browser.click("button");
 * ```
 *
 * @module
 */

import { inPath, ROOT } from "../../testing/tools.ts";
import { ended, opened } from "./cleanup.ts";
import { until, within } from "./wait.ts";

/** Folder of screenshots, outside of git; they are kept to be looked at. */
export const SCREENSHOTS = `${ROOT}/.tools/screenshots`;

const FLAGS = [
  "--headless",
  "--no-sandbox", // the tests may run as root
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  // No requests except to the page under test.
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--hide-scrollbars",
  "--window-size=1280,1000",
];

/** Keys by their code in WebDriver (§17.4.2). */
const KEYS = { Tab: "\uE004", Enter: "\uE007", Escape: "\uE00C" };

/** What a page is shown as. */
export interface Look {
  width: number;
  height: number;
  dark?: boolean;
  /** Touch, and the text size of a phone. */
  phone?: boolean;
}

/** A browser with one tab. */
export class Browser implements AsyncDisposable {
  readonly label = "browser";
  #session = "";

  private constructor(
    private readonly driver: Deno.ChildProcess,
    private readonly folder: string,
  ) {}

  /** Starts one; slow on a machine that has never done so. */
  static async start(): Promise<Browser> {
    const folder = await Deno.makeTempDir({ prefix: "sluice-browser-" });
    const driver = new Deno.Command(inPath("chromedriver")!, {
      args: ["--port=0"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const browser = new Browser(driver, folder);
    opened(browser);
    const port = await browser.#port();
    const { sessionId } = await browser.#call<{ sessionId: string }>(
      "POST",
      `http://127.0.0.1:${port}/session`,
      {
        capabilities: {
          alwaysMatch: {
            "goog:loggingPrefs": { browser: "ALL" },
            "goog:chromeOptions": {
              args: [...FLAGS, `--user-data-dir=${folder}`],
              binary: inPath("chromium"),
            },
          },
        },
      },
    );
    browser.#session = `http://127.0.0.1:${port}/session/${sessionId}`;
    return browser;
  }

  /** Opens a page and waits for it to have loaded. */
  async go(url: string): Promise<void> {
    await this.#command("url", { url });
  }

  /** Runs the body of a function in the page and returns its result. */
  run<T>(script: string, ...args: unknown[]): Promise<T> {
    return this.#command("execute/sync", { script, args });
  }

  /** Evaluates an expression in the page until it is truthy. */
  until<T>(script: string, what: string, timeoutMs = 30_000): Promise<T> {
    return until(() => this.run<T>(script), {
      timeoutMs,
      everyMs: 50,
      what: () => `${what} on the page`,
    });
  }

  /** Clicks as a mouse would, on what has to be in sight. */
  async click(selector: string): Promise<void> {
    await this.#command(`element/${await this.#find(selector)}/click`, {});
  }

  /** Types into a field. */
  async type(selector: string, text: string): Promise<void> {
    const element = await this.#find(selector);
    await this.#command(`element/${element}/value`, { text });
  }

  /** Presses a key, as a person at a keyboard does. */
  async press(key: keyof typeof KEYS): Promise<void> {
    const value = KEYS[key];
    await this.#command("actions", {
      actions: [{
        type: "key",
        id: "keyboard",
        actions: [{ type: "keyDown", value }, { type: "keyUp", value }],
      }],
    });
  }

  /** Shows the page as this. */
  async look({ width, height, dark = false, phone = false }: Look) {
    await this.#devtools("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: phone ? 2 : 1,
      mobile: phone,
    });
    await this.#devtools("Emulation.setEmulatedMedia", {
      features: [{
        name: "prefers-color-scheme",
        value: dark ? "dark" : "light",
      }],
    });
  }

  /** Keeps a picture of the page, or of what is in sight, and gives its path. */
  async screenshot(name: string, whole = true): Promise<string> {
    const { data } = await this.#devtools<{ data: string }>(
      "Page.captureScreenshot",
      { format: "png", captureBeyondViewport: whole },
    );
    await Deno.mkdir(SCREENSHOTS, { recursive: true });
    const path = `${SCREENSHOTS}/${name}.png`;
    await Deno.writeFile(
      path,
      Uint8Array.from(atob(data), (char) => char.charCodeAt(0)),
    );
    return path;
  }

  /** What the page has written to its console, faults and refusals included. */
  async console(): Promise<{ level: string; message: string }[]> {
    return await this.#command("se/log", { type: "browser" });
  }

  async close(): Promise<void> {
    ended(this);
    if (this.#session !== "") {
      await this.#call("DELETE", this.#session).catch(() => {});
    }
    try {
      this.driver.kill("SIGTERM");
    } catch {
      // It has exited.
    }
    await this.driver.status;
    await this.driver.stdout.cancel().catch(() => {});
    // The browser may still be writing to it.
    await until(
      () =>
        Deno.remove(this.folder, { recursive: true }).then(
          () => true,
          () => false,
        ),
      { timeoutMs: 5_000, everyMs: 100, what: "the browser's folder to go" },
    ).catch(() => {});
  }

  /** For `cleanup.ts`. */
  abandon(): Promise<void> {
    return this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #port(): Promise<number> {
    const decoder = new TextDecoder();
    let text = "";
    const reader = this.driver.stdout.getReader();
    try {
      return await within(
        (async () => {
          while (true) {
            const { done, value } = await reader.read();
            if (done) throw new Error(`chromedriver ended: ${text}`);
            text += decoder.decode(value, { stream: true });
            const match = /started successfully on port (\d+)/.exec(text);
            if (match !== null) return Number(match[1]);
          }
        })(),
        20_000,
        "chromedriver to start",
      );
    } finally {
      reader.releaseLock();
    }
  }

  async #find(selector: string): Promise<string> {
    const found = await this.#command<Record<string, string>>("element", {
      using: "css selector",
      value: selector,
    });
    return Object.values(found)[0]!;
  }

  #devtools<T>(cmd: string, params: unknown): Promise<T> {
    return this.#command("goog/cdp/execute", { cmd, params });
  }

  #command<T>(path: string, body: unknown): Promise<T> {
    return this.#call("POST", `${this.#session}/${path}`, body);
  }

  async #call<T>(method: string, url: string, body?: unknown): Promise<T> {
    const response = await fetch(url, {
      method,
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    });
    const { value } = await response.json();
    if (!response.ok) {
      throw new Error(`WebDriver says no to ${url}: ${value.message}`);
    }
    return value;
  }
}

/** Starts a browser. */
export function startBrowser(): Promise<Browser> {
  return Browser.start();
}
