/**
 * Helpers for tests of several workers: a program with workers, a connection to
 * each of them, and their processes.
 *
 * @module
 */

import { ROOT } from "../../testing/tools.ts";
import { type RawBackend, rawBackend } from "./backend.ts";
import { type ConnectOptions, RawConnection, requestText } from "./client.ts";
import {
  type ProxyOptions,
  type ProxyProcess,
  type Runtime,
  startProxy,
} from "./proxy.ts";
import { delay, until } from "./wait.ts";

/** Options for {@linkcode withWorkers}. */
export interface WorkersOptions extends ProxyOptions {
  /** @default {2} */
  workers?: number | "auto";
  /** What the program may read on Deno, besides itself. */
  reads?: readonly string[];
}

/** The options of a program with workers. */
export function withWorkers(options: WorkersOptions = {}): ProxyOptions {
  const { workers = 2, reads = [], permissions = [], env, ...rest } = options;
  return {
    ...rest,
    env: { WORKERS: String(workers), ...env },
    permissions: [`--allow-read=${[ROOT, ...reads].join()}`, ...permissions],
  };
}

/** Starts the program with workers. */
export function startWorkers(
  runtime: Runtime,
  options: WorkersOptions = {},
): Promise<ProxyProcess> {
  return startProxy(runtime, withWorkers(options));
}

/** Backends, each of which responds with its number, from 0. */
export class Numbered implements AsyncDisposable {
  private constructor(readonly all: readonly RawBackend[]) {}

  /** Starts so many. */
  static async start(count: number): Promise<Numbered> {
    const starting = Array.from(
      { length: count },
      (_, i) => rawBackend((conn) => conn.reply({ body: String(i) })),
    );
    return new Numbered(await Promise.all(starting));
  }

  /** For `BACKENDS`; of these alone, if they are named. */
  urls(...numbers: number[]): string {
    const some = numbers.length > 0 ? numbers : this.all.keys();
    return [...some].map((i) => this.all[i]!.url).join();
  }

  /** How many requests each has had. */
  get counts(): number[] {
    return this.all.map(({ requests }) => requests.length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const backend of this.all) await backend.stop();
  }
}

/** Milliseconds to find all workers. */
const FIND_MS = 10_000;

/**
 * A kept connection to each worker, to address each by itself.
 *
 * From outside workers differ only in this: each has its own round robin, which
 * goes through three backends in its own order. The next backend on a
 * connection is one further on, or two if a request on another connection went
 * through the same worker in between.
 */
export class Crew implements AsyncDisposable {
  readonly connections: RawConnection[] = [];

  /** Finds them; the backends are {@linkcode Numbered}, three and all up. */
  static async of(
    proxy: ProxyProcess,
    workers: number,
    options: ConnectOptions = {},
  ): Promise<Crew> {
    const crew = new Crew();
    const spare: RawConnection[] = [];
    const deadline = performance.now() + FIND_MS;
    for (let tries = 1; crew.connections.length < workers; tries++) {
      // A worker may still be starting.
      if (tries % 200 === 0) {
        if (performance.now() > deadline) {
          throw new Error(`${crew.connections.length} workers, not ${workers}`);
        }
        for (const connection of spare.splice(0)) await connection.close();
        await delay(100);
      }
      const connection = await RawConnection.connect(proxy.port, options);
      const known = await crew.#knows(connection);
      (known ? spare : crew.connections).push(connection);
    }
    for (const connection of spare) await connection.close();
    return crew;
  }

  async #knows(connection: RawConnection): Promise<boolean> {
    for (const other of this.connections) {
      const first = await answerOf(other);
      const second = await answerOf(other);
      await answerOf(connection);
      const third = await answerOf(other);
      if (second === first || third === second) {
        throw new Error(`No round robin: ${first}, ${second}, ${third}`);
      }
      if (third === first) return true;
    }
    return false;
  }

  /** The responding backends, for each worker: `["0 2", "0 2"]`. */
  async answers(): Promise<string[]> {
    const all: string[] = [];
    // One after another: concurrent ones of one worker could each get the same
    // backend again and again.
    for (const connection of this.connections) {
      const numbers = new Set<number>();
      for (let i = 0; i < 8; i++) numbers.add(await answerOf(connection));
      all.push([...numbers].sort().join(" "));
    }
    return all;
  }

  /** Waits until these answer for every worker, and no others. */
  async waitFor(wanted: string, timeoutMs = 10_000): Promise<void> {
    let seen: string[] = [];
    await until(async () => {
      seen = await this.answers();
      return seen.every((one) => one === wanted);
    }, {
      timeoutMs,
      what: () => `${wanted} to answer; it is ${JSON.stringify(seen)}`,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.connections) await connection.close();
  }
}

async function answerOf(connection: RawConnection): Promise<number> {
  const answer = await connection.request(requestText("GET", "/"));
  if (answer.status !== 200 || answer.closed) {
    throw new Error(`Asked a worker: ${answer.statusLine} ${answer.problem}`);
  }
  return Number(answer.text);
}

/** Processes that this one has started and that still run. Linux only. */
export function childrenOf(pid: number): number[] {
  const children: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const fields = statOf(Number(name));
    if (fields?.[1] === String(pid) && fields[0] !== "Z") {
      children.push(Number(name));
    }
  }
  return children;
}

/** Whether a process runs; a zombie does not. */
export function runs(pid: number): boolean {
  const fields = statOf(pid);
  return fields !== undefined && fields[0] !== "Z";
}

/** State, parent and so on. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined; // it has ended meanwhile
  }
}
