/**
 * Backends that do exactly what a test's script says, byte by byte, and record
 * exactly what the proxy sent.
 *
 * A request is parsed strictly: everything that RFC 9112 forbids a sender is
 * recorded in {@linkcode RawBackend.problems}, and closing the backend then
 * fails the test, so every test also checks what the proxy must never send.
 *
 * ```ts ignore
 * await using backend = await rawBackend((conn) =>
 *   conn.reply({ headers: { "X-Name": "a" }, body: "hello" })
 * );
 * ```
 *
 * @module
 */

import net from "node:net";
import tls from "node:tls";
import { ended, opened } from "./cleanup.ts";
import { until } from "./wait.ts";
import {
  BodyReader,
  concat,
  type Ending,
  type Framing,
  framingOf,
  type Header,
  Malformed,
  PeerGone,
  type Piece,
  readHead,
  Recorder,
  toBytes,
  toLatin1,
  valuesOf,
  Wire,
} from "./wire.ts";

/** What a backend does with a request; it may run on after the answer. */
export type Handler = (
  conn: RawConn,
  request: RawRequest,
) => Promise<void> | void;

/** Options for {@linkcode rawBackend}. */
export interface BackendOptions {
  /** The path that probes ask for. @default {"/health"} */
  healthPath?: string;
  /** See {@linkcode RawBackend.health}. @default {200} */
  health?: Health;
  /** Bytes of each request kept in `raw`. @default {16_777_216} */
  recordLimit?: number;
  /** Bytes read from the kernel before the script reads. @default {262_144} */
  readAhead?: number;
  /** PEM texts: the backend speaks TLS. */
  tls?: { cert: string; key: string; ca?: string; requestCert?: boolean };
  /** Listens on this socket path instead of a port. */
  unix?: string;
  /** Listens on this address instead of 127.0.0.1. */
  host?: string;
  /** Listens on this port instead of a free one. */
  port?: number;
  /** Malformed requests are recorded only, and do not fail the test. */
  allowProblems?: boolean;
}

/**
 * The response to probes: this status; none (`"hang"`); a RST (`"reset"`); a
 * script's; or as any other request (`"handler"`), and then they are counted as
 * requests.
 */
export type Health = number | "hang" | "reset" | "handler" | Handler;

/** What {@linkcode RawConn.reply} sends. */
export interface Reply {
  /** @default {200} */
  status?: number;
  /** The reason phrase. @default {"OK" for 200, else empty} */
  reason?: string;
  /** Sent in this order and spelling. */
  headers?: readonly Header[] | Record<string, string>;
  /** Strings are sent as latin1. */
  body?: string | Uint8Array;
  /**
   * How the body is framed: `length` adds `Content-Length` unless `headers` has
   * one; `chunked` sends one chunk; `close` ends the connection after the body;
   * `none` adds nothing.
   *
   * @default {"length"}
   */
  framing?: Framing;
  /** @default {"1.1"} */
  version?: string;
}

/** One request, as received. It is available once the head is complete. */
export class RawRequest {
  readonly method: string;
  readonly target: string;
  /** `"1.1"` or `"1.0"`. */
  readonly version: string;
  /** In order, names as sent. */
  readonly headers: readonly Header[];
  readonly framing: "length" | "chunked" | "none";
  /** The value of `Content-Length`; `undefined` without one. */
  readonly length: number | undefined;
  /** `performance.now()` when the head was complete. */
  readonly at: number;
  /** Its place on its connection, from 0. */
  readonly index: number;

  readonly #recorder: Recorder;
  readonly #reader: BodyReader;
  readonly #body: Recorder;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    /** The head's bytes as latin1, the empty line included. */
    readonly head: string,
    startLine: string,
    headers: readonly Header[],
    readonly conn: RawConn,
    wire: Wire,
    recorder: Recorder,
    at: number,
    recordLimit: number,
  ) {
    const match = /^([^\s\x80-\xff]+) ([^\s]+) HTTP\/(1\.[01])$/.exec(
      startLine,
    );
    if (match === null) {
      throw new Malformed(`Not a request line: ${JSON.stringify(startLine)}`);
    }
    [, this.method, this.target, this.version] = match as unknown as [
      string,
      string,
      string,
      string,
    ];
    this.headers = headers;
    if (this.version === "1.1" && this.headerAll("host").length !== 1) {
      throw new Malformed(`${this.headerAll("host").length} Host fields`);
    }
    const { framing, length } = framingOf(headers);
    this.framing = framing;
    this.length = framing === "length" ? length : undefined;
    this.at = at;
    this.index = conn.requests.length;
    this.#recorder = recorder;
    this.#body = new Recorder(recordLimit);
    this.#reader = new BodyReader(wire, framing, length);
  }

  /** The target up to the query. */
  get path(): string {
    return this.target.split("?", 1)[0]!;
  }

  /** The first value of a field, its name in any case. */
  header(name: string): string | undefined {
    return this.headerAll(name)[0];
  }

  /** All values of a field, in order. */
  headerAll(name: string): string[] {
    return valuesOf(this.headers, name);
  }

  /** The bytes read up to now, head and framing included, up to `recordLimit`. */
  get raw(): Uint8Array {
    return this.#recorder.bytes;
  }

  /** The body has been read to its proper end. */
  get complete(): boolean {
    return this.#reader.complete;
  }

  /** Bytes of the body read up to now. */
  get received(): number {
    return this.#reader.received;
  }

  /** Sizes of the chunks up to now. */
  get chunks(): readonly number[] {
    return this.#reader.chunks;
  }

  /** Fields after the last chunk. */
  get trailers(): readonly Header[] {
    return this.#reader.trailers;
  }

  /**
   * The next chunk of the body, `null` at its end. Concurrent readers get
   * different chunks.
   *
   * @throws {PeerGone} If the body was cut; a script need not catch it.
   */
  next(): Promise<Piece | null> {
    // One after another, since a test may ask for `body()` while the script is
    // still reading.
    const piece = this.#turn.then(() => this.#next());
    this.#turn = piece.catch(() => {});
    return piece;
  }

  async #next(): Promise<Piece | null> {
    const piece = await this.#reader.next();
    if (piece !== null) {
      this.#body.add(piece.data);
    } else if (!this.#reader.complete) {
      throw new PeerGone(
        `Cannot read the request body: ${this.#reader.problem}`,
        this.conn.ending?.how ?? "fin",
      );
    }
    return piece;
  }

  /**
   * The complete body, including what `next()` has returned; also after the
   * connection has closed.
   *
   * @throws {PeerGone} If the body was cut.
   * @throws {RangeError} If it is longer than `recordLimit`.
   */
  async body(): Promise<Uint8Array> {
    while (await this.next() !== null);
    const bytes = this.#body.bytes;
    if (bytes.length < this.#body.total) {
      throw new RangeError(
        `Cannot show a body of ${this.#body.total} bytes: raise recordLimit`,
      );
    }
    return bytes;
  }

  /** The whole body as latin1. */
  async text(): Promise<string> {
    return toLatin1(await this.body());
  }
}

/** One connection to a backend, in the hands of its script. */
export class RawConn {
  /** Requests on this connection, probes left out. */
  readonly requests: RawRequest[] = [];
  /** Probes on this connection. */
  probes = 0;
  /** Its place among the backend's connections, from 0. */
  readonly index: number;
  #taken = false;
  #method = "GET";

  constructor(
    readonly backend: RawBackend,
    /** For what the methods here do not offer: exact reads, peeking, pausing. */
    readonly wire: Wire,
  ) {
    this.index = backend.conns.length;
  }

  /** Resolves when the peer (or this side) has ended the connection. */
  get closed(): Promise<Ending> {
    return this.wire.closed;
  }

  /** How it ended; undefined while it is open. */
  get ending(): Ending | undefined {
    return this.wire.ending;
  }

  /** Sends bytes as they are; strings are latin1. */
  send(data: string | Uint8Array): Promise<void> {
    return this.wire.write(data);
  }

  /** Sends a whole response in one write; no body goes to HEAD, 204 and 304. */
  async reply(reply: Reply = {}): Promise<void> {
    const { status = 200, framing = "length", version = "1.1" } = reply;
    const { reason = status === 200 ? "OK" : "" } = reply;
    const body = toBytes(reply.body ?? "");
    const headers = pairs(reply.headers ?? []);
    const bodiless = this.#method === "HEAD" || status < 200 ||
      status === 204 || status === 304;
    if (framing === "length" && status >= 200 && status !== 204) {
      if (
        valuesOf(headers, "content-length").length === 0 &&
        (status !== 304 || body.length > 0)
      ) headers.push(["Content-Length", String(body.length)]);
    } else if (framing === "chunked") {
      headers.push(["Transfer-Encoding", "chunked"]);
    } else if (framing === "close") {
      headers.push(["Connection", "close"]);
    }
    const parts = [toBytes(
      `HTTP/${version} ${status} ${reason}\r\n` +
        headers.map(([name, value]) => `${name}: ${value}\r\n`).join("") +
        "\r\n",
    )];
    if (!bodiless) {
      parts.push(...(framing === "chunked" ? chunked(body) : [body]));
    }
    await this.send(concat(parts));
    if (framing === "close") await this.end();
  }

  /** Sends one chunk of a chunked body. */
  chunk(data: string | Uint8Array): Promise<void> {
    const bytes = toBytes(data);
    return this.send(concat(chunked(bytes).slice(0, -1)));
  }

  /** Sends the last chunk, with trailers if any. */
  lastChunk(trailers: readonly Header[] = []): Promise<void> {
    const lines = trailers.map(([name, value]) => `${name}: ${value}\r\n`);
    return this.send(`0\r\n${lines.join("")}\r\n`);
  }

  /** Sends FIN after what was sent; the peer may continue to send. */
  end(): Promise<void> {
    return this.wire.end();
  }

  /**
   * Sends RST at once. Over TLS it is a close without close_notify: Deno's
   * `node:tls` does not expose the socket that could be reset.
   */
  reset(): Promise<void> {
    return this.wire.reset();
  }

  /** Closes both directions at once. */
  close(): Promise<void> {
    return this.wire.close();
  }

  /**
   * After the handler has returned, the connection is not read as HTTP any
   * more; for WebSocket. It stays open until it is closed explicitly.
   */
  takeOver(): Wire {
    this.#taken = true;
    return this.wire;
  }

  /** Serves requests until the connection ends; for {@linkcode rawBackend}. */
  async serve(
    handle: (request: RawRequest) => Promise<void>,
    recordLimit: number,
  ): Promise<void> {
    while (!this.#taken) {
      const recorder = new Recorder(recordLimit);
      this.wire.recorder = recorder;
      const head = await readHead(this.wire, "a request");
      const request = new RawRequest(
        head.text,
        head.startLine,
        head.headers,
        this,
        this.wire,
        recorder,
        head.at,
        recordLimit,
      );
      this.#method = request.method;
      await handle(request);
      if (this.#taken) return;
      // What the script did not read precedes the next request.
      while (!request.complete) await request.next();
      if (this.ending !== undefined && this.wire.buffered === 0) return;
    }
  }
}

function pairs(headers: readonly Header[] | Record<string, string>): Header[] {
  return Array.isArray(headers) ? [...headers] : Object.entries(headers);
}

function chunked(body: Uint8Array): Uint8Array[] {
  const last = toBytes("0\r\n\r\n");
  if (body.length === 0) return [last];
  const size = toBytes(`${body.length.toString(16)}\r\n`);
  return [concat([size, body, toBytes("\r\n")]), last];
}

/** A listening backend. */
export class RawBackend implements AsyncDisposable {
  /** Requests, in the order their heads were complete; probes left out. */
  readonly requests: RawRequest[] = [];
  /** Probes, in order. */
  readonly probes: RawRequest[] = [];
  /** All connections so far, in order. */
  readonly conns: RawConn[] = [];
  /** How many connections were accepted, and how many have ended. */
  readonly connections = { opened: 0, closed: 0 };
  /** What the proxy sent that HTTP/1.1 forbids, and what the script threw. */
  readonly problems: unknown[] = [];
  /** How probes are answered from now on. */
  health: Health;
  /** While true, what arrives is recorded and never answered, probes too. */
  hanging = false;
  /** The script; another one may be set at any time. */
  handler: Handler;

  readonly label: string;
  #server: net.Server | undefined;
  #port = 0;
  #stopped = false;
  readonly #options: BackendOptions;
  readonly #live = new Set<RawConn>();
  readonly #raw = new Set<net.Socket>();
  readonly #serving = new Set<Promise<void>>();

  constructor(handler: Handler, options: BackendOptions) {
    this.handler = handler;
    this.health = options.health ?? 200;
    this.#options = options;
    this.label = `backend${options.unix ? ` ${options.unix}` : ""}`;
  }

  /** The port it listens on, or listened on before `kill()`. */
  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:PORT`, as in a `Host` field. */
  get authority(): string {
    return `${this.#options.host ?? "127.0.0.1"}:${this.#port}`;
  }

  /** For `BACKENDS`: `http://127.0.0.1:PORT`, `https://…` or `unix:/path`. */
  get url(): string {
    if (this.#options.unix !== undefined) return `unix:${this.#options.unix}`;
    return `${this.#options.tls ? "https" : "http"}://${this.authority}`;
  }

  /** Connections that are open right now. */
  get open(): number {
    return this.#live.size;
  }

  /** Listens; `rawBackend()` has called this already. */
  async start(): Promise<void> {
    const { unix, host = "127.0.0.1", port } = this.#options;
    const fixed = port ?? (this.#port || undefined);
    // A port that was just closed may be in use for a moment, and a random port
    // may be in use.
    for (let tries = 0;; tries++) {
      const server = this.#listener();
      const asked = unix !== undefined
        ? { path: unix }
        : { host, port: fixed ?? drawPort() };
      try {
        await new Promise<void>((resolve, reject) => {
          server.once("error", reject);
          server.listen(asked, resolve);
        });
        this.#server = server;
        this.#port = unix !== undefined
          ? 0
          : (server.address() as net.AddressInfo).port;
        return;
      } catch (error) {
        if (tries >= 50 || (error as { code?: string }).code !== "EADDRINUSE") {
          throw error;
        }
        if (fixed !== undefined) await new Promise((r) => setTimeout(r, 20));
      }
    }
  }

  #listener(): net.Server {
    const accept = (socket: net.Socket) => {
      const serving = this.#accept(socket).finally(() =>
        this.#serving.delete(serving)
      );
      this.#serving.add(serving);
    };
    const { tls: pem } = this.#options;
    if (pem === undefined) {
      return net.createServer({ allowHalfOpen: true }, accept);
    }
    const server = tls.createServer(
      { ...pem, allowHalfOpen: true, rejectUnauthorized: false },
      accept,
    );
    // Some tests want a client that does not trust the certificate.
    server.on("tlsClientError", () => {});
    // A connection whose handshake fails is otherwise never closed on Deno,
    // which keeps the server from closing.
    server.on("connection", (socket: net.Socket) => {
      this.#raw.add(socket);
      socket.once("close", () => this.#raw.delete(socket));
    });
    return server;
  }

  async #accept(socket: net.Socket): Promise<void> {
    const { readAhead = 256 * 1024, recordLimit = 16 * 1024 * 1024 } =
      this.#options;
    const conn = new RawConn(this, new Wire(socket, { readAhead }));
    this.connections.opened++;
    this.conns.push(conn);
    this.#live.add(conn);
    conn.closed.then(() => {
      this.connections.closed++;
      this.#live.delete(conn);
    });
    try {
      await conn.serve((request) => this.#handle(conn, request), recordLimit);
      if (conn.ending !== undefined) await conn.close();
    } catch (error) {
      if (error instanceof PeerGone) {
        // The end between two requests, or of a script whose peer has left.
        await conn.close();
      } else {
        this.problems.push(error);
        await conn.reset();
      }
    }
    // Taken over by its script: it is closed when the backend is stopped.
    await conn.closed;
    await conn.close();
  }

  async #handle(conn: RawConn, request: RawRequest): Promise<void> {
    const probe = request.method === "GET" && this.health !== "handler" &&
      request.path === (this.#options.healthPath ?? "/health");
    if (probe) {
      conn.probes++;
      this.probes.push(request);
    } else {
      conn.requests.push(request);
      this.requests.push(request);
    }
    const { health } = this;
    if (this.hanging || (probe && health === "hang")) {
      await conn.closed;
    } else if (!probe) {
      await this.handler(conn, request);
    } else if (health === "reset") {
      await conn.reset();
    } else if (typeof health === "function") {
      await health(conn, request);
    } else {
      await conn.reply({ status: health as number, body: "" });
    }
  }

  /** Waits until `count` requests (probes left out) have come; gives the last. */
  async waitForRequests(count: number, timeoutMs = 5_000): Promise<RawRequest> {
    await until(() => this.requests.length >= count, {
      timeoutMs,
      what: () => `${count} requests; ${this.requests.length} came`,
    });
    return this.requests[count - 1]!;
  }

  /** Ends like a killed process: no listener, all connections closed. */
  async kill({ reset = false }: { reset?: boolean } = {}): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const stopped = server === undefined
      ? Promise.resolve()
      : new Promise<void>((resolve) => server.close(() => resolve()));
    await Promise.all(
      this.conns.map((conn) => reset ? conn.reset() : conn.close()),
    );
    for (const socket of this.#raw) socket.destroy();
    await stopped;
    await Promise.all(this.#serving);
  }

  /** Listens again on the same port. */
  async restart(): Promise<void> {
    if (this.#server !== undefined) await this.kill();
    await this.start();
  }

  /** Closes it without checking for problems. */
  async abandon(): Promise<void> {
    this.#stopped = true;
    ended(this);
    await this.kill();
  }

  /**
   * Closes it; may be called twice.
   *
   * @throws {AggregateError} If something is in `problems`.
   */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    await this.abandon();
    if (this.problems.length > 0 && !this.#options.allowProblems) {
      const texts = this.problems.map((problem) =>
        problem instanceof Error
          ? `${problem.name}: ${problem.message}`
          : problem
      );
      throw new AggregateError(
        this.problems,
        `Backend ${this.url}: ${texts.join("; ")}`,
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Starts a backend on 127.0.0.1 that does what `handler` says. */
export async function rawBackend(
  handler: Handler = (conn) => conn.reply({ body: "ok" }),
  options: BackendOptions = {},
): Promise<RawBackend> {
  const backend = new RawBackend(handler, options);
  await backend.start();
  opened(backend);
  return backend;
}

/** A script that never answers; it ends when the peer leaves. */
export const hang: Handler = async (conn) => {
  await conn.closed;
};

// Not port 0: the kernel takes those from the range of outgoing connections, so
// a killed backend's port could be used by a connection of another test, or
// even be connected to itself. Below that range ports are assigned only on
// request.
function drawPort(): number {
  return 20_000 + Math.floor(Math.random() * 12_000);
}

/** A port on 127.0.0.1 without a listener: connections are refused. */
export async function deadPort(): Promise<number> {
  await using backend = await rawBackend(hang);
  return backend.port;
}
