/**
 * Clients that keep their connections, as many and as quick as one process can
 * run, and a tally of what became of each request. The strict client of the
 * harness shows every byte and is too slow for tens of thousands of requests.
 *
 * @module
 */

/** What became of a request. */
export interface Result {
  /** Status of a complete response; 0 if there was none. */
  status: number;
  /** Why there was none. */
  problem: "refused" | "cut" | undefined;
  /** Milliseconds on the clock of `performance.now()`. */
  startedAt: number;
  endedAt: number;
  /** The answer's body, as latin1. */
  text: string;
}

const encoder = new TextEncoder();
const latin1 = new TextDecoder("latin1");

/** One client and its connection, which it opens when it has none. */
export class Client implements Disposable {
  #conn: Deno.TcpConn | undefined;
  #buffer = "";
  readonly #piece = new Uint8Array(64 * 1024);

  constructor(readonly port: number) {}

  /** Whether a connection is open that the server did not announce to close. */
  get connected(): boolean {
    return this.#conn !== undefined;
  }

  /** Sends a request, without retries, and reads the response. */
  async request(bytes: Uint8Array | string): Promise<Result> {
    const result: Result = {
      status: 0,
      problem: undefined,
      startedAt: performance.now(),
      endedAt: 0,
      text: "",
    };
    const data = typeof bytes === "string" ? encoder.encode(bytes) : bytes;
    try {
      if (this.#conn === undefined) {
        result.problem = "refused";
        await this.#connect();
      }
      result.problem = "cut";
      const conn = this.#conn!;
      // A server may answer before it has read all of a request.
      const writing = write(conn, data).catch(() => {});
      const { status, text, close } = await this.#answer(conn);
      await writing;
      result.status = status;
      result.text = text;
      result.problem = undefined;
      if (close) this.close();
    } catch {
      this.close();
    }
    result.endedAt = performance.now();
    return result;
  }

  /** Sends a request and leaves `ms` after it, answered or not. */
  async abort(bytes: Uint8Array | string, ms: number): Promise<void> {
    await this.#connect();
    const timer = setTimeout(() => this.close(), ms);
    await this.request(bytes);
    clearTimeout(timer);
    this.close();
  }

  /** Ends the connection. */
  close(): void {
    const conn = this.#conn;
    this.#conn = undefined;
    try {
      conn?.close();
    } catch {
      // It is closed already.
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #connect(): Promise<void> {
    const { port } = this;
    this.#conn = await Deno.connect({ hostname: "127.0.0.1", port });
    this.#conn.setNoDelay(true);
    this.#buffer = "";
  }

  async #more(conn: Deno.TcpConn): Promise<void> {
    const size = await conn.read(this.#piece);
    if (size === null) throw new Error("cut");
    this.#buffer += latin1.decode(this.#piece.subarray(0, size));
  }

  async #answer(
    conn: Deno.TcpConn,
  ): Promise<{ status: number; text: string; close: boolean }> {
    let end: number;
    while ((end = this.#buffer.indexOf("\r\n\r\n")) < 0) await this.#more(conn);
    const head = this.#buffer.slice(0, end).toLowerCase();
    this.#buffer = this.#buffer.slice(end + 4);
    const status = Number(head.slice(9, 12));
    const close = /^connection:.*\bclose\b/m.test(head);
    const length = /^content-length: *(\d+)/m.exec(head)?.[1];
    let text: string;
    if (/^transfer-encoding:.*chunked/m.test(head)) {
      text = await this.#chunks(conn);
    } else {
      text = await this.#take(conn, Number(length ?? 0));
    }
    return { status, text, close };
  }

  async #take(conn: Deno.TcpConn, size: number): Promise<string> {
    while (this.#buffer.length < size) await this.#more(conn);
    const text = this.#buffer.slice(0, size);
    this.#buffer = this.#buffer.slice(size);
    return text;
  }

  async #chunks(conn: Deno.TcpConn): Promise<string> {
    let text = "";
    for (;;) {
      let end: number;
      while ((end = this.#buffer.indexOf("\r\n")) < 0) await this.#more(conn);
      const size = parseInt(this.#buffer.slice(0, end), 16);
      this.#buffer = this.#buffer.slice(end + 2);
      const chunk = await this.#take(conn, size + 2);
      if (size === 0) return text;
      text += chunk.slice(0, -2);
    }
  }
}

async function write(conn: Deno.TcpConn, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.byteLength;) {
    at += await conn.write(data.subarray(at));
  }
}

/** An id that no other request of this process has. */
export function newId(): string {
  return `${Deno.pid}-${++ids}`;
}
let ids = 0;

/** A request as text, with an id that backends count by. */
export function request(
  method: string,
  target: string,
  { id = newId(), body, chunked = false }: {
    id?: string;
    body?: string;
    chunked?: boolean;
  } = {},
): string {
  const head =
    `${method} ${target} HTTP/1.1\r\nHost: chaos.test\r\nX-Id: ${id}\r\n`;
  if (body === undefined) return `${head}\r\n`;
  if (!chunked) return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
  const chunk = body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`;
  return `${head}Transfer-Encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`;
}

/** What became of many requests. */
export class Tally {
  /** Answers by status. */
  readonly statuses = new Map<number, number>();
  refused = 0;
  cut = 0;
  /** Milliseconds of each whole answer. */
  readonly times: number[] = [];
  /** Everything that was not a 200. */
  readonly failures: Result[] = [];

  /** Counts one. */
  add(result: Result): void {
    if (result.problem === "refused") this.refused++;
    else if (result.problem === "cut") this.cut++;
    else {
      const { statuses } = this;
      statuses.set(result.status, (statuses.get(result.status) ?? 0) + 1);
      this.times.push(result.endedAt - result.startedAt);
    }
    if (result.status !== 200) this.failures.push(result);
  }

  /** Requests in all. */
  get total(): number {
    return this.times.length + this.refused + this.cut;
  }

  /** How many were answered with 200. */
  get good(): number {
    return this.statuses.get(200) ?? 0;
  }

  /** How many were not. */
  get failed(): number {
    return this.failures.length;
  }

  /** The latency quantile. */
  percentile(share: number): number {
    const sorted = this.times.toSorted((a, b) => a - b);
    return sorted[
      Math.min(sorted.length - 1, Math.floor(sorted.length * share))
    ] ??
      NaN;
  }

  /** In a few words, for a message. */
  toString(): string {
    const parts = [...this.statuses].map(([status, n]) => `${n}×${status}`);
    if (this.cut > 0) parts.push(`${this.cut} cut`);
    if (this.refused > 0) parts.push(`${this.refused} refused`);
    return parts.join(", ");
  }
}

/** Load that runs until it is stopped. */
export class Load {
  /** What became of the requests so far. */
  readonly tally = new Tally();
  #ending = false;
  readonly #done: Promise<void>;

  /** Starts `clients`, each of which sends `next()` repeatedly. */
  constructor(port: number, clients: number, next: () => string, options: {
    /** Milliseconds between an answer and the next request. */
    pauseMs?: number;
    /** Ends a client at its first refused connection. */
    untilRefused?: boolean;
  } = {}) {
    const { pauseMs = 0, untilRefused = false } = options;
    this.#done = Promise.all(Array.from({ length: clients }, async () => {
      using client = new Client(port);
      while (!this.#ending) {
        const result = await client.request(next());
        this.tally.add(result);
        if (untilRefused && result.problem === "refused") return;
        if (pauseMs > 0) await pause(pauseMs);
      }
    })).then(() => {});
  }

  /** Resolves when every client has ended. */
  get done(): Promise<void> {
    return this.#done;
  }

  /** Stops it after the requests in flight; returns the tally. */
  async end(): Promise<Tally> {
    this.#ending = true;
    await this.#done;
    return this.tally;
  }
}

/** Resolves after `ms`. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
