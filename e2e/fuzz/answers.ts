/**
 * Mutated responses, from a backend on real sockets through the running program
 * to a client that reads strictly.
 *
 * What must never happen: the process ends; an exchange has no end for 10 s; a
 * malformed response by a strict reading reaches the client as a valid one; a
 * truncated body looks complete; a body, a status or a field arrives otherwise
 * than the strict reader reads it; a response reaches another client than its
 * own.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import net from "node:net";
import { setImmediate } from "node:timers";
import { cutAtRandom, seeded } from "../../testing/random.ts";
import { mutated } from "../../testing/mutated_answer.ts";
import { type Reference, referenceOf } from "../../testing/reference_answer.ts";
import { type ProxyProcess, startProxy } from "../harness/proxy.ts";
import { type Answer, type Ended, exchange } from "./exchange.ts";
import { FETCH_LIBERTIES } from "./known.ts";
import { mutate, pick } from "./mutate.ts";
import { Report } from "./report.ts";
import type { FuzzOptions } from "./requests.ts";

const HANG_MS = 10_000;
/** What a backend leaves open is ended by these limits. */
const LIMIT = "700ms";

/** What a request is answered with. */
interface Prepared {
  id: number;
  method: string;
  text: string;
  wanted: Reference;
  /** The backend leaves its connection open although the answer needs its end. */
  open: boolean;
}

/** One run against one proxy. */
export class AnswerFuzz {
  readonly report: Report;
  readonly #prepared = new Map<number, Prepared>();
  readonly #sockets = new Set<net.Socket>();
  /** Requests that were sent on a connection that was about to be ended. */
  readonly #raced = new Set<number>();
  readonly #server: net.Server;
  #proxy: ProxyProcess | undefined;
  #next = 0;

  constructor(readonly options: FuzzOptions) {
    const { runtime, transport, seed } = options;
    this.report = new Report(`${runtime} over ${transport}, seed ${seed}`);
    this.#server = net.createServer((socket) => this.#serve(socket));
  }

  /** Runs it to the end; the report has the findings. */
  async run(): Promise<Report> {
    const { runtime, transport, count, abreast = 16, from = 0 } = this.options;
    this.#next = from;
    await new Promise<void>((resolve) =>
      this.#server.listen(0, "127.0.0.1", resolve)
    );
    const { port } = this.#server.address() as net.AddressInfo;
    this.#proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `http://127.0.0.1:${port}`,
        TRANSPORT: transport,
        HEALTH_PATH: "off",
        EJECT_AFTER: "off",
        TIMEOUT: LIMIT,
        IDLE_TIMEOUT: LIMIT,
      },
    });
    try {
      const row = async () => {
        while (
          this.#next < from + count && this.#proxy!.exited === undefined
        ) await this.#one(this.#next++);
      };
      await Promise.all(Array.from({ length: abreast }, row));
      this.report.process(this.#proxy);
    } finally {
      await this.#proxy.stop(0);
      for (const socket of this.#sockets) socket.destroy();
      await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    }
    return this.report;
  }

  #serve(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    let head = "";
    let last = false;
    socket.on("data", async (bytes) => {
      head += bytes.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      const id = Number(/^\S+ \/(\d+) /.exec(head)?.[1]);
      head = "";
      const prepared = this.#prepared.get(id);
      if (last) this.#raced.add(id);
      if (prepared === undefined) return void socket.destroy();
      const { text, wanted, open } = prepared;
      const ends = wanted.kind !== "answer" || !wanted.persists;
      last ||= ends;
      const random = seeded(this.options.seed + id);
      const answer = new Uint8Array(Buffer.from(text, "latin1"));
      const pieces = random() < 0.5 ? [answer] : cutAtRandom(answer, random);
      for (const piece of pieces) {
        if (socket.destroyed) return;
        socket.write(piece);
        if (pieces.length > 1) {
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
      if (ends && !open) socket.end();
    });
  }

  #prepare(id: number): Prepared {
    const random = seeded(this.options.seed * 1_000_003 + id);
    const { seeds } = this.options;
    const made = random() < 0.5 ? mutated(random, random() < 0.3 ? 0 : 3) : {
      text: mutate(random, pick(random, seeds), "answer", seeds),
      method: pick(random, ["GET", "GET", "GET", "HEAD", "POST"]),
    };
    // Each contains its request's id, so that a mix-up is detected.
    const text = made.text.replace(
      /(HTTP\/1\.\d \d{3}[^\r\n]*\r\n)/g,
      `$1X-Is: ${id}\r\n`,
    );
    const wanted = referenceOf(text, made.method);
    const prepared = {
      id,
      method: made.method,
      text,
      wanted,
      open: wanted.kind !== "answer" && random() < 0.02,
    };
    this.#prepared.set(id, prepared);
    return prepared;
  }

  async #one(id: number): Promise<void> {
    const prepared = this.#prepare(id);
    const { method } = prepared;
    const length = method === "POST" ? "Content-Length: 0\r\n" : "";
    const said = await exchange({
      port: this.#proxy!.port,
      pieces: [`${method} /${id} HTTP/1.1\r\nHost: a.test\r\n${length}\r\n`],
      methods: [method],
      expected: 1,
      quietMs: undefined,
      limitMs: HANG_MS,
    }).catch((error) => {
      this.report.violation("crash", `${error}`);
      return undefined;
    });
    this.#prepared.delete(id);
    if (said !== undefined) this.#judge(prepared, said);
  }

  #judge(prepared: Prepared, said: Ended): void {
    const { report } = this;
    const { wanted, text, method } = prepared;
    const show = () =>
      `${method} ${prepared.id} ${JSON.stringify(text)} is ${
        JSON.stringify(wanted)
      }, but came as ${JSON.stringify(said.text)}`;
    if (said.hung) return report.violation("hang", show());
    if (said.rest === "invalid") return report.violation("malformed", show());
    const [given] = said.answers;
    if (given === undefined) {
      report.count(said.text === "" ? "no answer" : "visibly cut");
      if (wanted.kind === "answer") report.sample("cut although whole", show);
      if (said.text === "") report.sample("no answer", show);
      return;
    }
    if (isOwn(given)) {
      report.count(`told ${given.status}`);
      if (wanted.kind !== "answer") return;
      report.count("refused although valid");
      report.sample("refused although valid", show);
      return;
    }
    const differs = difference(wanted, given);
    if (differs === undefined) return report.count("passed");
    // What a backend sends behind an answer may meet the next request, which no
    // client can tell from its answer, if it was on its way by then.
    const whose = given.fields.find(([name]) => name === "x-is")?.[1];
    if (this.#raced.has(prepared.id) && whose !== String(prepared.id)) {
      return report.count("met by bytes behind another answer");
    }
    const { runtime, transport } = this.options;
    const liberal = transport === "socket"
      ? wanted
      : referenceOf(text, method, FETCH_LIBERTIES[runtime]);
    if (difference(liberal, given) === undefined) {
      report.count(`${wanted.kind}, and known to pass over fetch`);
    } else report.violation(differs, show());
  }
}

/** Whether it is one of the proxy's own responses. */
function isOwn({ fields }: Answer): boolean {
  return fields.some(([name, value]) =>
    name === "proxy-status" && value.startsWith("sluice")
  );
}

/** The first difference to what was sent; `undefined` if there is none. */
function difference(wanted: Reference, given: Answer): string | undefined {
  if (wanted.kind !== "answer") return `${wanted.kind} passed`;
  // Deno's server cannot send one.
  const status = wanted.status === 205 && given.status === 204
    ? 205
    : given.status;
  if (status !== wanted.status) return "another status";
  // Neither runtime's server sends content in one.
  if (status !== 205 && given.body !== wanted.body) return "another body";
  const plain = ({ fields }: Pick<Answer, "fields">) =>
    fields.filter(([name]) => name.startsWith("x-"))
      // Of several empty lines one may be left.
      .filter(([, value]) => !/^[, ]*$/.test(value))
      .map(([name, value]) =>
        `${name}: ${value.replace(/^(?:,[ \t]*)+|(?:,[ \t]*)+$/g, "")}`
      ).sort().join("\n");
  // What `Connection` names is not for the client, and lines may be joined.
  const named = wanted.fields.filter(([name]) => name === "connection")
    .flatMap(([, value]) => value.toLowerCase().split(/[ \t]*,[ \t]*/));
  const left = wanted.fields.filter(([name]) => !named.includes(name));
  const joined = new Map<string, string>();
  for (const [name, value] of left) {
    if (value === "") continue;
    const had = joined.get(name);
    joined.set(name, had === undefined ? value : `${had}, ${value}`);
  }
  return plain(given) === plain({ fields: left }) ||
      plain(given) === plain({ fields: [...joined] })
    ? undefined
    : "other fields";
}
