/**
 * The admin API at random: paths, methods, tokens, fields and JSON, right ones
 * and wrong ones.
 *
 * What must never be: the process ends or answers 500; an answer that is no JSON
 * where JSON is promised; a change without the token; a backend lost or gained
 * otherwise than the answers said.
 *
 * @module
 */

import { seeded } from "../../testing/random.ts";
import { ADMIN_ENV, adminUrl, portOf, TOKEN } from "../harness/admin.ts";
import { rawRequest, type RawResponse } from "../harness/client.ts";
import { type ProxyProcess, startProxy } from "../harness/proxy.ts";
import { mutate, pick, type Random } from "./mutate.ts";
import { Report } from "./report.ts";
import type { FuzzOptions } from "./requests.ts";

const PATHS = [
  ...["/backends", "/backends", "/backends", "/", "/metrics", "/livez"],
  ...["/readyz", "/backends/", "/backends/zz", "//backends", "/../backends"],
  ...[
    "/backends?x=y",
    "/BACKENDS",
    "/%62ackends",
    "/__proto__",
    "/constructor",
  ],
  ...["/backends/%00", "/backends/../backends", "/toString", "*", "http://x/"],
];
const METHODS = [
  ...["GET", "GET", "POST", "POST", "POST", "PATCH", "DELETE", "PUT", "HEAD"],
  ...["OPTIONS", "hasOwnProperty", "constructor"],
];
const BODIES = [
  '{"url":"http://127.0.0.1:1234"}',
  '{"url":"http://b.test","weight":3,"name":"b","backup":true,"maxConns":5}',
  '{"weight":5}',
  '{"draining":true}',
  '{"draining":false,"weight":0}',
  ...["", "null", "[]", "{}", '"x"', "1", "{", '{"url":null}', '{"url":1}'],
  ...['{"weight":-1}', '{"weight":1e9}', '{"weight":1.5}', '{"weight":"1"}'],
  ...['{"__proto__":{"x":1}}', '{"constructor":1}', '{"url":"file:///etc"}'],
  ...['{"url":"http://u:p@x"}', '{"name":"\\u0000"}', '{"url":"unix:/x"}'],
  `{"url":"http://${"a".repeat(5_000)}"}`,
  `${"[".repeat(8_000)}`,
  `{"name":"${"x".repeat(20_000)}"}`,
];

/** Statuses that are an answer to something. */
const MEANT = new Set([
  ...[
    200,
    201,
    204,
    400,
    401,
    403,
    404,
    405,
    408,
    409,
    413,
    421,
    431,
    501,
    505,
  ],
]);

/** One run against one proxy. */
export class AdminFuzz {
  readonly report: Report;
  /** Backends by id, as the answers have it. */
  readonly #known = new Set<string>();
  #port = 0;

  constructor(readonly options: Omit<FuzzOptions, "transport" | "seeds">) {
    this.report = new Report(`${options.runtime}, seed ${options.seed}`);
  }

  /** Runs it to the end; the report says what was found. */
  async run(): Promise<Report> {
    const { runtime, count, from = 0 } = this.options;
    const proxy = await startProxy(runtime, {
      env: {
        BACKENDS: "http://127.0.0.1:20001, http://127.0.0.1:20002",
        HEALTH_PATH: "off",
        ...ADMIN_ENV,
      },
    });
    try {
      this.#port = portOf(await adminUrl(proxy));
      for (const id of await this.#listed()) this.#known.add(id);
      // One after the other, so that it is known what there has to be.
      for (let id = from; id < from + count; id++) {
        if (proxy.exited !== undefined) break;
        await this.#one(id);
      }
      await this.#compare("at the end");
      this.#process(proxy);
    } finally {
      await proxy.stop(0);
    }
    return this.report;
  }

  #process(proxy: ProxyProcess): void {
    this.report.process(proxy);
    for (const line of proxy.stderr) {
      if (/cannot answer on the admin port/.test(line)) {
        this.report.violation("log", line);
      }
    }
  }

  async #listed(): Promise<string[]> {
    const { text } = await rawRequest(
      this.#port,
      "GET /backends HTTP/1.1\r\nHost: localhost\r\n\r\n",
      { closeWaitMs: 0 },
    );
    const { backends } = JSON.parse(text) as { backends: { id: string }[] };
    return backends.map(({ id }) => id);
  }

  async #compare(when: string): Promise<void> {
    const listed = (await this.#listed()).sort().join();
    const known = [...this.#known].sort().join();
    if (listed !== known) {
      this.report.violation("pool", `${when}: ${listed}, not ${known}`);
    }
  }

  #request(random: Random): { bytes: string; method: string; path: string } {
    const ids = [...this.#known];
    const one = `/backends/${ids.length > 0 ? pick(random, ids) : "none"}`;
    const added = `{"url":"http://127.0.0.1:${
      20_000 + Math.floor(random() * 30)
    }"}`;
    // Half of them mean something, so that there is something to be lost.
    const meant = pick(random, [
      ["POST", "/backends", added],
      ["POST", "/backends", added],
      ["PATCH", one, pick(random, ['{"weight":7}', '{"draining":true}'])],
      ["DELETE", one, ""],
    ]);
    const [method = "", path = "", body = ""] = random() < 0.5 ? meant : [
      pick(random, METHODS),
      random() < 0.3 ? one : pick(random, PATHS),
      random() < 0.7
        ? pick(random, BODIES)
        : mutate(random, pick(random, BODIES), "request", BODIES),
    ];
    const token = random() < 0.75 ? `Bearer ${TOKEN}` : pick(random, [
      ...["", "Bearer", "Bearer x", `Basic ${TOKEN}`, `bearer  ${TOKEN}`],
      ...[`Bearer ${TOKEN} x`, `Bearer ${TOKEN.slice(1)}`, `Bearer \xff`],
    ]);
    const host = random() < 0.95
      ? "localhost"
      : pick(random, ["evil.test", "127.0.0.1", "[::1]", "localhost:1", "x y"]);
    const lines = [`Host: ${host}`, `Authorization: ${token}`];
    if (method !== "GET" && method !== "HEAD") {
      lines.push(`Content-Length: ${body.length}`);
    }
    const bytes =
      `${method} ${path} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n` +
      (method === "GET" || method === "HEAD" ? "" : body);
    const odd = random() < 0.1
      ? mutate(random, bytes, "request", BODIES, 1)
      : bytes;
    return { bytes: odd, method, path };
  }

  async #one(id: number): Promise<void> {
    const random = seeded(this.options.seed * 1_000_003 + id);
    const { bytes, method } = this.#request(random);
    const show = () => JSON.stringify(bytes.slice(0, 600));
    let answer: RawResponse;
    try {
      answer = await rawRequest(
        this.#port,
        Uint8Array.from(bytes, (letter) => letter.charCodeAt(0)),
        { timeoutMs: 3_000, closeWaitMs: 0 },
      );
    } catch {
      // What is not whole is waited for, which is the runtime's to end.
      return this.report.count("waited for more");
    }
    const { status } = answer;
    if (status === 0) return this.report.count("closed");
    this.report.count(`status ${status}`);
    // Without a backend it is not ready.
    if (!MEANT.has(status) && !(status === 503 && /readyz/.test(bytes))) {
      this.report.violation("status", `${status} to ${show()}`);
    }
    if (answer.problem !== undefined) {
      this.report.violation("malformed", `${answer.problem} to ${show()}`);
    }
    const type = answer.header("content-type") ?? "";
    if (type.startsWith("application/json") && method !== "HEAD") {
      try {
        JSON.parse(answer.text);
      } catch (error) {
        this.report.violation("json", `${error} to ${show()}`);
      }
    }
    if (status === 201 || status === 204) {
      if (!bytes.includes(TOKEN)) {
        this.report.violation("no token", `${status} to ${show()}`);
      }
    }
    if (status === 201) {
      const { id } = JSON.parse(answer.text) as { id: string };
      this.#known.add(id);
    } else if (status === 204 && /^DELETE/.test(bytes)) {
      this.#known.delete(/\/backends\/([^\s?/]+)/.exec(bytes)?.[1] ?? "");
    }
    if (status === 201 || status === 204 || id % 50 === 0) {
      await this.#compare(`behind ${show()}`);
    }
  }
}
