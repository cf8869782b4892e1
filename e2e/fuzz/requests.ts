/**
 * Mutated requests, over real sockets to the running program, with an oracle of
 * three: a strict reader of what was sent, the proxy, and backends that record
 * and execute.
 *
 * What must never happen: the process ends; an exchange has no end for 10 s; a
 * backend executes a request that the strict reader does not find in the
 * client's bytes, or executes one twice, or executes a truncated one; a backend
 * gets bytes that two readers read differently; a client gets malformed bytes,
 * or the response to another client's request.
 *
 * @module
 */

import { seeded } from "../../testing/random.ts";
import {
  type ReferenceRequest,
  type ReferenceRequests,
  requestsOf,
} from "../../testing/reference_request.ts";
import {
  type ProxyProcess,
  type Runtime,
  startProxy,
} from "../harness/proxy.ts";
import { type Ended, exchange } from "./exchange.ts";
import { dropped, LIBERTIES, stalls, tolerates, twoAnswers } from "./known.ts";
import { mutate, pick, pieces } from "./mutate.ts";
import { type Executed, Recorder } from "./recorder.ts";
import { Report } from "./report.ts";

/** What to do. */
export interface FuzzOptions {
  runtime: Runtime;
  transport: "fetch" | "socket";
  /** How many connections with mutated bytes. */
  count: number;
  seed: number;
  /** The number of the first of them. @default {0} */
  from?: number;
  /** What is mutated. */
  seeds: readonly string[];
  /** Connections at a time. @default {16} */
  abreast?: number;
}

/** Milliseconds after which an exchange without an end is a hang. */
const HANG_MS = 10_000;
const STALL_MS = 1_000;
/** Time limit for what is truncated or not a request. */
const QUIET_MS = 40;
/** Exchanges that requests may still be executed of. */
const REMEMBERED = 3_000;

/** One connection: what was sent, and what the strict reader makes of it. */
interface Sent {
  id: number;
  text: string;
  read: ReferenceRequests;
  /** How often each of the requests was executed. */
  executed: number[];
}

const TOKEN_DIGITS = 5;

/** A mark of seven bytes that identifies a target: as long as `/hidden`. */
function tokenOf(id: number): string {
  return `/q${id.toString(36).padStart(TOKEN_DIGITS, "0")}`;
}

function idOf(mark: string): number {
  return Number.parseInt(mark.slice(1), 36);
}

/**
 * Puts the mark into the targets of a text: of the first request without regard
 * to its length, of others, which may be in a body, only where it fits.
 */
function marked(text: string, id: number): string {
  const token = tokenOf(id);
  let first = true;
  return text.replace(
    /(^|\n)([!-~]+ )((?:[a-z]+:\/\/[^\s/?]*)?\/[!-~]*?)(\?[!-~]*)?( HTTP\/)/gi,
    (_, line, method, path, query = "", version) => {
      const wasFirst = first;
      first = false;
      if (wasFirst) {
        const slash = path.endsWith("/") ? path.slice(0, -1) : path;
        return `${line}${method}${slash}${token}${query}${version}`;
      }
      const made = path.length < token.length
        ? path
        : path.slice(0, -token.length) + token;
      return `${line}${method}${made}${query}${version}`;
    },
  );
}

/** RFC 9110 §9.2.2. */
const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

/** One run against one proxy. */
export class RequestFuzz {
  readonly report: Report;
  readonly #sent = new Map<number, Sent>();
  readonly #recorders: Recorder[];
  #proxy: ProxyProcess | undefined;
  #next = 0;

  constructor(readonly options: FuzzOptions) {
    const { runtime, transport, seed } = options;
    this.report = new Report(`${runtime} over ${transport}, seed ${seed}`);
    const listener = {
      executed: (request: Executed) => this.#executed(request),
      violated: (what: string) => this.report.violation("ambiguous", what),
    };
    this.#recorders = (["strict", "coding first", "first length"] as const)
      .map((how) => new Recorder(how, listener));
  }

  /** Runs it to the end; the report has the findings. */
  async run(): Promise<Report> {
    const { runtime, transport, count, abreast = 16 } = this.options;
    const { from = 0 } = this.options;
    this.#next = from;
    const urls = await Promise.all(this.#recorders.map((each) => each.start()));
    // The strict one gets most, since it alone detects what is malformed.
    urls[0] += " weight=3";
    this.#proxy = await startProxy(runtime, {
      env: {
        BACKENDS: urls.join(","),
        TRANSPORT: transport,
        HEALTH_PATH: "off",
        EJECT_AFTER: "off",
      },
    });
    try {
      const row = async () => {
        while (this.#next < from + count && this.#proxy!.exited === undefined) {
          await this.#one(this.#next++);
        }
      };
      await Promise.all(Array.from({ length: abreast }, row));
      this.report.process(this.#proxy);
    } finally {
      await this.#proxy.stop(0);
      for (const each of this.#recorders) await each.stop();
    }
    return this.report;
  }

  async #one(id: number): Promise<void> {
    const { seeds } = this.options;
    // A separate seed, so that each exchange can be repeated by its number.
    const random = seeded(this.options.seed * 1_000_003 + id);
    const one = () => marked(pick(random, seeds), id);
    const text = mutate(random, one(), "request", [one(), one()]);
    const read = requestsOf(text, LIBERTIES[this.options.runtime]);
    const sent = { id, text, read, executed: read.requests.map(() => 0) };
    this.#sent.set(id, sent);
    this.#sent.delete(id - REMEMBERED);
    const said = await exchange({
      port: this.#proxy!.port,
      pieces: pieces(random, text),
      methods: [...read.requests.map(({ method }) => method)],
      expected: read.requests.length,
      quietMs: read.end === "clean" ? undefined : QUIET_MS,
      // A shorter limit for what is known to wait for ever.
      limitMs: stalls(this.options.runtime, text) ? STALL_MS : HANG_MS,
    }).catch((error) => {
      this.report.violation("crash", `${error}`);
      return undefined;
    });
    if (said !== undefined) this.#judge(sent, said);
  }

  #executed(done: Executed): void {
    const mark = /q[0-9a-z]{5}/.exec(done.target)?.[0];
    const own = mark === undefined ? undefined : this.#sent.get(idOf(mark));
    let found = own === undefined ? undefined : this.#best([own], done);
    // A mark may have been damaged, so then it may be any of them.
    if (found === undefined || !this.#isFine(found)) {
      const other = this.#best(this.#sent.values(), done);
      if (found === undefined || (other && this.#isFine(other))) found = other;
    }
    if (found === undefined) {
      this.report.violation(
        "unseen",
        own === undefined
          ? `no mark: ${JSON.stringify(done)}`
          : show(own, done),
      );
      return;
    }
    const { sent, at } = found;
    const times = ++sent.executed[at]!;
    const { faults } = sent.read.requests[at]!;
    // Without a mark it may be of one that is forgotten.
    if (!this.#isFine(found) && mark !== undefined) {
      this.report.violation("fault", `${faults}: ${show(sent, done)}`);
    } else if (faults.length > 0) this.report.count("known fault");
    if (times > 1 && own === sent && faults.length === 0) {
      // What may be repeated may be sent again where a connection has died.
      if (REPEATABLE.has(done.method)) this.report.count("sent again");
      else this.report.violation("twice", show(sent, done));
    }
    this.report.count("executed");
  }

  #isFine({ sent, at }: { sent: Sent; at: number }): boolean {
    const { faults } = sent.read.requests[at]!;
    return tolerates(this.options.runtime, faults);
  }

  /** Of several candidates, the right one that was not executed yet. */
  #best(
    all: Iterable<Sent>,
    done: Executed,
  ): { sent: Sent; at: number } | undefined {
    let best: { sent: Sent; at: number } | undefined;
    let least = Infinity;
    for (const sent of all) {
      for (const at of this.#matches(sent, done)) {
        const { faults } = sent.read.requests[at]!;
        const refused = !tolerates(this.options.runtime, faults);
        const cost = (refused ? 1_000 : 0) + sent.executed[at]! * 10 +
          faults.length;
        if (cost < least) [least, best] = [cost, { sent, at }];
      }
      if (least === 0) break;
    }
    return best;
  }

  /** Which of the requests it may be. */
  #matches(sent: Sent, done: Executed): number[] {
    const found: number[] = [];
    // How an invalid target is changed depends on the runtime.
    const mark = /q[0-9a-z]{5}/.exec(done.target)?.[0];
    const respelt = (request: ReferenceRequest) =>
      (mark === undefined || request.target.includes(mark) ||
        !this.#sent.has(idOf(mark))) &&
      tolerates(this.options.runtime, request.faults) &&
      request.faults.includes("invalid bytes in the target");
    sent.read.requests.forEach((request, at) => {
      if (sameRequest(request, done, respelt(request))) found.push(at);
    });
    return found;
  }

  #judge(sent: Sent, said: Ended): void {
    const { report } = this;
    const { read } = sent;
    const show = () =>
      `${
        JSON.stringify(sent.text)
      } (${read.requests.length} requests, ${read.end} ${
        read.why ?? ""
      }), answered ${JSON.stringify(said.text)}`;
    const { runtime } = this.options;
    if (said.hung) {
      if (stalls(runtime, sent.text)) report.count("known stall");
      else report.violation("hang", show());
    }
    if (said.rest === "invalid") {
      if (twoAnswers(runtime, read, said.text)) {
        report.count("known second answer");
      } else report.violation("malformed", show());
    }
    for (const answer of said.answers) {
      report.count(`status ${answer.status}`);
      const [, target] = /^did \S+ (\S+) /.exec(answer.body) ?? [];
      if (target === undefined) continue;
      const mark = /q[0-9a-z]{5}/.exec(target)?.[0];
      const others = mark !== undefined && idOf(mark) !== sent.id &&
        this.#sent.has(idOf(mark)) && !sent.text.includes(mark);
      if (others) report.violation("mixed up", show());
    }
    const good = said.answers.filter(({ body }) => body.startsWith("did "))
      .length;
    if (good > read.requests.length) report.violation("too many", show());
    // A valid and complete request gets some response.
    const [first] = read.requests;
    if (first !== undefined && said.answers.length === 0) {
      report.count("valid, and no answer");
      if (first.faults.length === 0 && !dropped(runtime, read)) {
        report.sample("valid, and no answer", show);
      }
    }
    if (read.requests.length === 0 && read.end === "invalid") {
      report.count(
        said.answers.length > 0
          ? "invalid, answered"
          : said.closed
          ? "invalid, closed"
          : "invalid, waited for more",
      );
    }
  }
}

/** Whether it is that request, but for what a URL parser makes of a target. */
function sameRequest(
  request: ReferenceRequest,
  done: Executed,
  respelt: boolean,
): boolean {
  return request.method === done.method && request.body === done.body &&
    (respelt || plainTarget(request.target) === plainTarget(done.target));
}

/** The part of a target that no parser spells differently. */
function plainTarget(target: string): string {
  const path = target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, "");
  let url: string;
  try {
    const { pathname, search } = new URL(
      `http://a${path.startsWith("/") ? "" : "/"}${path}`,
    );
    url = pathname + search;
  } catch {
    url = path;
  }
  return url.replace(
    /%[0-9a-f]{2}/gi,
    (escape) => String.fromCharCode(Number.parseInt(escape.slice(1), 16)),
  )
    .replace(/\?$/, "").replace(/\/+/g, "/");
}

function show(sent: Sent, done: Executed): string {
  return `${done.by} did ${done.method} ${done.target} ${
    JSON.stringify(done.body)
  } of ${JSON.stringify(sent.text)}, which is ${
    JSON.stringify(sent.read.requests.map(({ method, target, body }) =>
      `${method} ${target} ${body.length}`
    ))
  } ${sent.read.end} ${sent.read.why ?? ""}`;
}
