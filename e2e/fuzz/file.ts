/**
 * `BACKENDS_FILE` at random: right lists, and what is left of them after
 * accidents. Each content is read again on SIGHUP.
 *
 * What must never be: the process ends; a reload says nothing; a list that was
 * refused changes the pool; the pool holds something else than the list that
 * was read; a list of live backends is not served.
 *
 * @module
 */

import { parseBackends } from "../../config/backends.ts";
import { seeded } from "../../testing/random.ts";
import { ADMIN_ENV, adminUrl, portOf } from "../harness/admin.ts";
import { type RawBackend, rawBackend } from "../harness/backend.ts";
import { rawRequest, requestText } from "../harness/client.ts";
import { type ProxyProcess, startProxy } from "../harness/proxy.ts";
import { pick, type Random } from "./mutate.ts";
import { Report } from "./report.ts";
import type { FuzzOptions } from "./requests.ts";

/** Names would be looked up outside this machine, so there are none. */
const WORDS = [
  ...[" weight=3", " weight=0", " weight=-1", " weight=1e3", " weight="],
  ...[" backup", " max_conns=2", " max_conns=0", " name=a", " name=", " x=y"],
  ...["#", "# a comment\n", "\n", "\r\n", "\t", " ", ",", "\0", "\ufeff", "é"],
  ...["http://", "https://127.0.0.1:1", "ftp://127.0.0.1", "unix:/tmp/x.sock"],
  ...["127.0.0.1:99999", "[::1]:8", "[::1", "http://u:p@127.0.0.1", "/path"],
];

/** One run against one proxy. */
export class FileFuzz {
  readonly report: Report;

  constructor(readonly options: Omit<FuzzOptions, "transport" | "seeds">) {
    this.report = new Report(`${options.runtime}, seed ${options.seed}`);
  }

  /** Runs it to the end; the report says what was found. */
  async run(): Promise<Report> {
    const { runtime, seed, count, from = 0 } = this.options;
    const folder = await Deno.makeTempDir({ prefix: "sluice-fuzz-" });
    const file = `${folder}/backends`;
    const live: RawBackend[] = [];
    for (let i = 0; i < 4; i++) {
      live.push(await rawBackend((conn) => conn.reply({ body: "ok" })));
    }
    await Deno.writeTextFile(file, live[0]!.url);
    const proxy = await startProxy(runtime, {
      env: {
        BACKENDS_FILE: file,
        HEALTH_PATH: "off",
        EJECT_AFTER: "off",
        ...ADMIN_ENV,
      },
      permissions: [`--allow-read=${folder}`],
    });
    try {
      const admin = portOf(await adminUrl(proxy));
      let before = await listed(admin);
      for (let id = from; id < from + count; id++) {
        if (proxy.exited !== undefined) break;
        const random = seeded(seed * 1_000_003 + id);
        const content = contentOf(random, live.map(({ url }) => url));
        const line = await this.#reload(proxy, file, content, id);
        if (line === undefined) break;
        const after = await listed(admin);
        this.#judge(line, content, before, after);
        before = after;
        if (after.every((url) => live.some((one) => one.url === url))) {
          const { status } = await rawRequest(
            proxy.port,
            requestText("GET", "/"),
          );
          this.report.count(`served ${status}`);
          if (status !== 200) this.#wrong("not served", content, `${status}`);
        }
      }
      this.report.process(proxy);
    } finally {
      await proxy.stop(0);
      for (const backend of live) await backend.stop();
      await Deno.remove(folder, { recursive: true });
    }
    return this.report;
  }

  /** The line that says what became of it. */
  async #reload(
    proxy: ProxyProcess,
    file: string,
    content: Uint8Array | undefined,
    id: number,
  ): Promise<string | undefined> {
    // Whole or not at all; every third one is written in place instead.
    if (content === undefined) {
      await Deno.remove(file).catch(() => {});
    } else if (id % 3 === 0) {
      await Deno.writeFile(file, content);
    } else {
      await Deno.writeFile(`${file}.new`, content);
      await Deno.rename(`${file}.new`, file);
    }
    proxy.stderr.length = proxy.stdout.length = 0;
    proxy.signal("SIGHUP");
    try {
      const [line] = await proxy.waitForLines(
        /BACKENDS_FILE (read|was refused|cannot be read)/,
        1,
      );
      return line;
    } catch (error) {
      this.#wrong("nothing was said", content, String(error));
      return undefined;
    }
  }

  #judge(
    line: string,
    content: Uint8Array | undefined,
    before: readonly string[],
    after: readonly string[],
  ): void {
    if (!/BACKENDS_FILE read/.test(line)) {
      this.report.count(content === undefined ? "not there" : "refused");
      if (after.join() !== before.join()) {
        this.#wrong("refused, and changed", content, `${before}, ${after}`);
      }
      return;
    }
    this.report.count("read");
    const text = new TextDecoder().decode(content);
    const { backends, faults } = parseBackends(text);
    const meant = backends.map(({ url }) => url).sort();
    if (faults.length > 0) this.#wrong("read in spite of", content, line);
    if (meant.join() !== after.join()) {
      this.#wrong("another list", content, `${meant}, ${after}`);
    }
  }

  #wrong(kind: string, content: Uint8Array | undefined, why: string): void {
    const text = content && new TextDecoder().decode(content.slice(0, 600));
    this.report.violation(kind, `${JSON.stringify(text)}: ${why}`);
  }
}

/** The URLs of the pool, in order. */
async function listed(admin: number): Promise<string[]> {
  const { text } = await rawRequest(
    admin,
    "GET /backends HTTP/1.1\r\nHost: localhost\r\n\r\n",
    { closeWaitMs: 0 },
  );
  const { backends } = JSON.parse(text) as { backends: { url: string }[] };
  return backends.map(({ url }) => url).sort();
}

/** A content; `undefined`: there is no file. */
function contentOf(
  random: Random,
  urls: readonly string[],
): Uint8Array | undefined {
  if (random() < 0.03) return undefined;
  if (random() < 0.05) {
    return Uint8Array.from(
      { length: Math.floor(random() * 5_000) },
      () => Math.floor(random() * 256),
    );
  }
  let text = "";
  for (const url of urls) {
    if (random() < 0.6) text += `${url}${random() < 0.3 ? " weight=2" : ""}\n`;
  }
  for (let left = Math.floor(random() * 4); left > 0; left--) {
    const at = Math.floor(random() * (text.length + 1));
    const kind = random();
    if (kind < 0.2) text = text.slice(0, at);
    else if (kind < 0.4) text = text.slice(0, at) + text.slice(at + 3);
    else if (kind < 0.45) text = text.repeat(1 + Math.floor(random() * 40));
    else text = text.slice(0, at) + pick(random, WORDS) + text.slice(at);
  }
  return new TextEncoder().encode(text);
}
